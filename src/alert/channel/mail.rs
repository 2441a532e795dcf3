//! Mail, by SMTP (in the clear, STARTTLS, or TLS from the first byte) or by the local sendmail.

use std::path::Path;

use anyhow::Context as _;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{SmtpTransport, Transport as _};

use super::Sent;
use crate::alert::message::Message;
use crate::config::Secret;
use crate::config::sections::{Channel, StartTls};
use crate::sys::{Stop, files, process};
use crate::text::clean;

const SENDMAIL: &str = "/usr/sbin/sendmail";
const LARGEST_CA: u64 = 4 << 20;

pub(super) fn send(channel: &Channel, message: &Message) -> Sent {
    let mail = match compose(channel, message) {
        Ok(mail) => mail,
        Err(error) => return Sent::rejected(format!("{error:#}")),
    };
    if channel.sendmail {
        return by_sendmail(channel, &mail);
    }
    let transport = match transport(channel) {
        Ok(transport) => transport,
        Err(error) => return Sent::rejected(format!("{error:#}")),
    };
    match transport.send(&mail) {
        Ok(_) => Sent::Delivered,
        Err(error) if error.is_permanent() => Sent::rejected(chain(&error)),
        Err(error) => Sent::later(chain(&error)),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Header values are ours or cleaned; RFC 3834 keeps robots from answering.
fn compose(channel: &Channel, message: &Message) -> anyhow::Result<lettre::Message> {
    let from = channel.from.as_deref().unwrap_or_default();
    let mut mail = lettre::Message::builder()
        .from(from.parse().with_context(|| format!("from '{from}'"))?)
        .subject(clean(&message.headline()))
        .message_id(Some(message.id.clone()))
        .date_now()
        .header(ContentType::TEXT_PLAIN);
    for to in &channel.to {
        mail = mail.to(to.parse().with_context(|| format!("to '{to}'"))?);
    }
    let threads = message.threads();
    if let Some(first) = threads.first() {
        mail = mail
            .in_reply_to(first.clone())
            .references(threads.join(" "));
    }
    for (name, value) in [
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
    ] {
        let name = HeaderName::new_from_ascii_str(name);
        mail = mail.raw_header(HeaderValue::new(name, value.to_owned()));
    }
    mail.body(message.text()).context("cannot write the mail")
}

fn transport(channel: &Channel) -> anyhow::Result<SmtpTransport> {
    let url = channel.smtp_url.as_deref().unwrap_or_default();
    let (wrapped, rest) = match (url.strip_prefix("smtp://"), url.strip_prefix("smtps://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => anyhow::bail!("smtp_url '{}' is neither smtp:// nor smtps://", clean(url)),
    };
    anyhow::ensure!(
        !rest.contains(['@', '/', '?']),
        "smtp_url is only smtp://HOST:PORT; use username and password_file"
    );
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (
            host,
            port.parse()
                .with_context(|| format!("smtp_url: the port '{port}'"))?,
        ),
        _ if wrapped => (rest, 465),
        _ => (rest, 25),
    };
    let password = Secret::read(
        "password",
        channel.password.as_ref(),
        channel.password_file.as_deref(),
    )?;
    let parameters = || -> anyhow::Result<TlsParameters> {
        let mut builder = TlsParameters::builder(host.to_owned());
        if let Some(file) = &channel.ca_file {
            builder = builder
                .certificate_store(CertificateStore::None)
                .add_root_certificate(certificate(file)?);
        }
        Ok(builder.build()?)
    };
    let tls = match (wrapped, channel.starttls, &password) {
        (true, _, _) => Tls::Wrapper(parameters()?),
        (_, StartTls::Never, _) => Tls::None,
        (_, StartTls::Required, _) | (_, StartTls::Auto, Some(_)) => Tls::Required(parameters()?),
        (_, StartTls::Auto, None) => Tls::Opportunistic(parameters()?),
    };
    let mut transport = SmtpTransport::builder_dangerous(host)
        .port(port)
        .tls(tls)
        .timeout(Some(channel.timeout.0));
    if let Some(password) = password {
        let name = channel
            .username
            .clone()
            .or_else(|| channel.from.clone())
            .unwrap_or_default();
        transport = transport.credentials(Credentials::new(name, password));
    }
    Ok(transport.build())
}

fn certificate(file: &Path) -> anyhow::Result<Certificate> {
    Certificate::from_pem(&files::read_small(file, LARGEST_CA)?)
        .with_context(|| format!("cannot read the certificates of {}", file.display()))
}

fn by_sendmail(channel: &Channel, mail: &lettre::Message) -> Sent {
    let mut command = process::command(Path::new(SENDMAIL));
    command.args([
        "-i",
        "-f",
        mail.envelope().from().map_or("", AsRef::as_ref),
        "--",
    ]);
    command.args(mail.envelope().to().iter().map(AsRef::<str>::as_ref));
    // What a signal has ended is what has to be told: it does not end the telling.
    let stop = Stop::after(channel.timeout.0);
    match process::run_with_input(command, mail.formatted(), channel.timeout.0, &stop) {
        Ok(output) if output.status.success() => Sent::Delivered,
        Ok(output) => Sent::later(format!("{SENDMAIL} ended with {}", output.status)),
        Err(error) => Sent::later(format!("{error:#}")),
    }
}
