//! An HTTP server in a test: reads each request whole, and answers as a closure says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: String,
    pub body: String,
}

/// What is said to it.
pub struct Answer {
    /// As in "200 OK".
    pub status: String,
    /// Further headers, each with its end of line.
    pub headers: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: format!("{status} X"),
            headers: String::new(),
            body: body.into(),
        }
    }
}

/// Serves on a port of its own until the test ends. Without an answer it says nothing until the other side gives up.
pub fn serve(answer: impl Fn(Request) -> Option<Answer> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || talk(stream, &*answer));
        }
    });
    address
}

fn talk(stream: TcpStream, answer: &dyn Fn(Request) -> Option<Answer>) {
    let mut reader = BufReader::new(stream);
    let Some(request) = read(&mut reader) else {
        return;
    };
    let Some(answer) = answer(request) else {
        let _ = reader.read(&mut [0; 1]);
        return;
    };
    let stream = reader.get_mut();
    let _ = write!(
        stream,
        "HTTP/1.1 {}\r\n{}Content-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.headers,
        answer.body.len()
    );
    let _ = stream.write_all(&answer.body);
}

/// Nothing where nobody, or the first byte of TLS, is there.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    if reader.fill_buf().ok()?.first()? < &b' ' {
        return None;
    }
    let (mut line, mut headers, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        headers.push_str(&header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: line.trim().to_owned(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
