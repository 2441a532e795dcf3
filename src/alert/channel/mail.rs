//! Mail, by SMTP (in the clear, STARTTLS, or TLS from the first byte) or by the local sendmail.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use lettre::Address;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, SmtpConnection, Tls, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, MailParameter};

use super::{Sent, Unreached};
use crate::alert::message::Message;
use crate::config::Secret;
use crate::config::sections::{Channel, StartTls};
use crate::sys::{Stop, files, process};
use crate::text::{clean, shorten};
use crate::units::Length;

const SENDMAIL: &str = "/usr/sbin/sendmail";
const LARGEST_CA: u64 = 4 << 20;

/// Who gets it: as the configuration writes it, and the bare address.
type Receiver = (String, Address);

pub(super) fn send(channel: &Channel, message: &Message, only: Option<&[String]>) -> Sent {
    let ready = receivers(channel, only).and_then(|to| Ok((to, compose(channel, message)?)));
    let (receivers, mail) = match ready {
        Ok((receivers, _)) if receivers.is_empty() => return Sent::Delivered,
        Ok(ready) => ready,
        Err(error) => return Sent::rejected(format!("{error:#}")),
    };
    if channel.sendmail {
        return by_sendmail(channel, &mail, &receivers);
    }
    let server = match Server::of(channel) {
        Ok(server) => server,
        Err(error) => return Sent::rejected(format!("{error:#}")),
    };
    match server.take(&mail, &receivers, only.is_some()) {
        Ok(sent) => sent,
        Err(error) => {
            let (host, port) = (&server.host, server.port);
            let told = format!("{host}:{port}: {}", server.told(&error));
            match error.is_permanent() {
                true => Sent::rejected(told),
                false => Sent::later(told),
            }
        }
    }
}

/// All of the channel, or those of them that did not get it before.
fn receivers(channel: &Channel, only: Option<&[String]>) -> anyhow::Result<Vec<Receiver>> {
    let wanted = |to: &&String| only.is_none_or(|only| only.contains(to));
    channel
        .to
        .iter()
        .filter(wanted)
        .map(|to| Ok((to.clone(), mailbox("to", to)?.email)))
        .collect()
}

fn mailbox(what: &str, text: &str) -> anyhow::Result<Mailbox> {
    text.parse().with_context(|| format!("{what} '{text}'"))
}

/// Header values are ours or cleaned; RFC 3834 keeps robots from answering.
fn compose(channel: &Channel, message: &Message) -> anyhow::Result<lettre::Message> {
    let mut mail = lettre::Message::builder()
        .from(mailbox(
            "from",
            channel.from.as_deref().unwrap_or_default(),
        )?)
        .subject(clean(&message.headline()))
        .message_id(Some(message.id.clone()))
        .date_now()
        .header(ContentType::TEXT_PLAIN);
    for to in &channel.to {
        mail = mail.to(mailbox("to", to)?);
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

/// The SMTP server of a channel.
struct Server {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    limit: Length,
}

impl Server {
    fn of(channel: &Channel) -> anyhow::Result<Self> {
        let (wrapped, host, port) = channel.smtp_server()?;
        let password = Secret::read(
            "password",
            channel.password.as_ref(),
            channel.password_file.as_deref(),
        )?;
        let parameters = |proven: bool| -> anyhow::Result<TlsParameters> {
            let mut builder = TlsParameters::builder(host.clone())
                .dangerous_accept_invalid_certs(!proven)
                .dangerous_accept_invalid_hostnames(!proven);
            if let Some(file) = &channel.ca_file {
                builder = builder
                    .certificate_store(CertificateStore::None)
                    .add_root_certificate(certificate(file)?);
            }
            Ok(builder.build()?)
        };
        let tls = match (wrapped, channel.starttls, &password) {
            (true, _, _) => Tls::Wrapper(parameters(true)?),
            (_, StartTls::Never, _) => Tls::None,
            (_, StartTls::Required, _) | (_, StartTls::Auto, Some(_)) => {
                Tls::Required(parameters(true)?)
            }
            // Encrypted without proof is still better than the clear, which would be taken too; and most local servers have a
            // certificate that nobody vouches for.
            (_, StartTls::Auto, None) => Tls::Opportunistic(parameters(channel.ca_file.is_some())?),
        };
        let name = channel.username.clone().or_else(|| channel.from.clone());
        let name = name.unwrap_or_default();
        Ok(Self {
            host,
            port,
            tls,
            credentials: password.map(|password| Credentials::new(name, password)),
            limit: channel.timeout,
        })
    }

    fn connect(&self) -> Result<SmtpConnection, SmtpError> {
        let hello = ClientId::default();
        let wrapped = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters),
            _ => None,
        };
        let address = (self.host.trim_matches(['[', ']']), self.port);
        let limit = Some(self.limit.0);
        let mut connection = SmtpConnection::connect(address, limit, &hello, wrapped, None)?;
        match &self.tls {
            Tls::Required(parameters) => connection.starttls(parameters, &hello)?,
            Tls::Opportunistic(parameters) if connection.can_starttls() => {
                connection.starttls(parameters, &hello)?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials)?;
        }
        Ok(connection)
    }

    fn take(
        &self,
        mail: &lettre::Message,
        receivers: &[Receiver],
        others_have_it: bool,
    ) -> Result<Sent, SmtpError> {
        let mut connection = self.connect()?;
        let sent = self.hand_over(&mut connection, mail, receivers, others_have_it);
        // Who does not answer any more is not waited for once more.
        if sent.is_ok() || sent.as_ref().is_err_and(|error| error.status().is_some()) {
            let _ = connection.quit();
        }
        sent
    }

    /// One mail to all. A receiver that the server does not take is left out and keeps it from none of the others.
    fn hand_over(
        &self,
        connection: &mut SmtpConnection,
        mail: &lettre::Message,
        receivers: &[Receiver],
        others_have_it: bool,
    ) -> Result<Sent, SmtpError> {
        let from = mail.envelope().from();
        let mut addresses = receivers.iter().map(|(_, address)| address).chain(from);
        let plain = addresses.all(|address| AsRef::<str>::as_ref(address).is_ascii());
        let options = match plain {
            true => Vec::new(),
            false => vec![MailParameter::SmtpUtfEight],
        };
        connection.command(Mail::new(from.cloned(), options))?;
        let mut unreached = Vec::new();
        let mut why = None;
        for (name, address) in receivers {
            match connection.command(Rcpt::new(address.clone(), Vec::new())) {
                Ok(_) => {}
                Err(error) if error.status().is_some() => {
                    unreached.push(Unreached {
                        receiver: name.clone(),
                        error: shorten(&self.told(&error), 300),
                        for_good: error.is_permanent(),
                    });
                    if error.is_transient() || why.is_none() {
                        why = Some(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = why.filter(|_| unreached.len() == receivers.len()) {
            return match others_have_it {
                true => Ok(Sent::Partly(unreached)),
                false => Err(error),
            };
        }
        connection.command(Data)?;
        connection.message(&mail.formatted())?;
        Ok(match unreached.is_empty() {
            true => Sent::Delivered,
            false => Sent::Partly(unreached),
        })
    }

    fn told(&self, error: &SmtpError) -> String {
        match timed_out(error) {
            true => format!("no answer within {}", self.limit),
            false => chain(error),
        }
    }
}

/// A socket's own limit says that it would have to wait longer.
fn timed_out(error: &(dyn StdError + 'static)) -> bool {
    let slow = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
    };
    error.downcast_ref().is_some_and(slow) || error.source().is_some_and(timed_out)
}

/// Some errors say what their cause says, and some do not.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

fn certificate(file: &Path) -> anyhow::Result<Certificate> {
    Certificate::from_pem(&files::read_small(file, LARGEST_CA)?)
        .with_context(|| format!("cannot read the certificates of {}", file.display()))
}

fn by_sendmail(channel: &Channel, mail: &lettre::Message, receivers: &[Receiver]) -> Sent {
    let mut command = process::command(Path::new(SENDMAIL));
    command.args([
        "-i",
        "-f",
        mail.envelope().from().map_or("", AsRef::as_ref),
        "--",
    ]);
    command.args(
        receivers
            .iter()
            .map(|(_, address)| AsRef::<str>::as_ref(address)),
    );
    // What a signal has ended is what has to be told: it does not end the telling.
    let stop = Stop::after(channel.timeout.0);
    match process::run_with_input(command, mail.formatted(), channel.timeout.0, &stop) {
        Ok(output) if output.status.success() => Sent::Delivered,
        Ok(output) => Sent::later(format!("{SENDMAIL} ended with {}", output.status)),
        Err(error) => Sent::later(format!("{error:#}")),
    }
}
