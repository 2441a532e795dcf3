//! Paths that only scanners ask a Node application for: other people's software, and files that should never be served.

/// Anywhere in a path, in lower case.
const PARTS: [&str; 34] = [
    "/.env",
    "/.git/",
    "/.git",
    "/.aws",
    "/.ssh",
    "/.svn",
    "/.ds_store",
    "/.htpasswd",
    "/.htaccess",
    "/.npmrc",
    "wp-login",
    "wp-admin",
    "wp-content",
    "wp-includes",
    "xmlrpc.php",
    "phpmyadmin",
    "phpinfo",
    "/pma/",
    "eval-stdin",
    "/cgi-bin/",
    "/actuator",
    "/boaform",
    "/hnap1",
    "/solr/",
    "/manager/html",
    "/server-status",
    "/_ignition",
    "/telescope",
    "etc/passwd",
    "/owa/",
    "/vendor/phpunit",
    "/struts",
    "/jmx-console",
    "/geoserver",
];
const ENDS: [&str; 9] = [
    ".php", ".asp", ".aspx", ".jsp", ".sql", ".bak", ".cgi", ".sql.gz", ".env",
];
/// What would be a secret if it were answered.
const TREASURES: [&str; 10] = [
    "/.env",
    "/.git/config",
    "/.git/head",
    "/.aws",
    "/.ssh",
    "/.htpasswd",
    "/.npmrc",
    "etc/passwd",
    ".sql",
    ".bak",
];

/// True for a path that only a scanner asks for.
pub fn is_one(path: &[u8]) -> bool {
    let path = path.to_ascii_lowercase();
    let has = |part: &&str| memchr::memmem::find(&path, part.as_bytes()).is_some();
    PARTS.iter().any(has)
        || ENDS.iter().any(|end| path.ends_with(end.as_bytes()))
        || has(&"../")
        || has(&"%2e%2e")
}

/// True for one whose answer would be a leak.
pub fn is_treasure(path: &[u8]) -> bool {
    let path = path.to_ascii_lowercase();
    TREASURES
        .iter()
        .any(|part| memchr::memmem::find(&path, part.as_bytes()).is_some())
}
