//! A small HTTP server on a free port of this machine.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// The server; its thread ends with the test's process.
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Gives these answers, the last one again and again. Status 0 breaks the connection, 1 never answers.
    pub(crate) fn start<const N: usize>(answers: [(u16, &'static str); N]) -> Self {
        Self::answering(move |number, stream| {
            let (status, body) = answers[number.min(N - 1)];
            match status {
                0 => {}
                1 => thread::sleep(Duration::from_mins(1)),
                _ => {
                    let head = format!(
                        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    // Who has heard enough hangs up.
                    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
                }
            }
        })
    }

    /// Sends everybody elsewhere.
    pub(crate) fn redirecting(to: &str) -> Self {
        let to = to.to_owned();
        Self::answering(move |_, stream| {
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
        })
    }

    fn answering(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut piece = [0; 1024];
                // Up to the headers' end; a TLS handshake, which starts with no letter, is answered at once.
                while !request.ends_with(b"\r\n\r\n") && request.first().is_none_or(u8::is_ascii_uppercase) {
                    match stream.read(&mut piece) {
                        Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
                        _ => break,
                    }
                }
                let first = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
                told.lock().unwrap().push(first);
                answer(number, &mut stream);
            }
        });
        Self { url, asked }
    }

    /// The requests' first lines.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
