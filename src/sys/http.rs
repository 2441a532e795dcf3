//! One bounded HTTP request.

use std::time::Duration;

use anyhow::Context as _;

/// The status code that a GET of `url` answers within `limit`. Redirects are not followed.
pub fn status(url: &str, limit: Duration) -> anyhow::Result<u16> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .new_agent();
    let answer = agent
        .get(url)
        .call()
        .with_context(|| format!("no answer from {url}"))?;
    Ok(answer.status().as_u16())
}
