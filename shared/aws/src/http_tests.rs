//! The client against servers that answer, hang, hang up or refuse, told as the SDK's retries want it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;

/// A server that answers each request as `answer` does, given the number of its connection, until that is `false`; counts its
/// connections.
fn server(answer: impl Fn(usize, &mut TcpStream) -> bool + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, number) = (connection.unwrap(), count.fetch_add(1, Ordering::SeqCst));
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if line == "\r\n" && !answer(number, &mut connection) {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    (address, connections)
}

fn well(_: usize, connection: &mut TcpStream) -> bool {
    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell").unwrap();
    true
}

fn connector(connect: Option<Duration>, read: Option<Duration>) -> Connector {
    let roots = TlsRoots::Amazon.store();
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Connector::new(&tls, Patience { connect, read })
}

fn request(url: &str) -> HttpRequest {
    HttpRequest::get(url).unwrap()
}

async fn body(connector: &Connector, url: &str) -> Result<String, ConnectorError> {
    let answer = connector.call(request(url)).await?;
    let bytes = aws_smithy_types::byte_stream::ByteStream::new(answer.into_body()).collect().await.unwrap();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn amazons_roots_are_five() {
    assert_eq!(TlsRoots::Amazon.store().len(), 5);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (address, connections) = server(well);
    let connector = connector(None, None);
    for _ in 0..3 {
        assert_eq!(body(&connector, &format!("http://{address}/")).await.unwrap(), "well");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_poisoned_connection_is_not() {
    let (address, connections) = server(well);
    let connector = connector(None, None);
    let capture = CaptureSmithyConnection::new();
    let mut request = request(&format!("http://{address}/"));
    request.add_extension(capture.clone());
    let answer = connector.call(request).await.unwrap();
    let metadata = capture.get().unwrap();
    assert_eq!(metadata.remote_addr(), Some(address));
    metadata.poison();
    drop(answer);
    assert_eq!(body(&connector, &format!("http://{address}/")).await.unwrap(), "well");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_is_worth_another_try_is_told_as_such() {
    let (hanging, _) = server(|_, _| true);
    let connector = connector(None, Some(Duration::from_millis(50)));
    let error = body(&connector, &format!("http://{hanging}/")).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");

    let (leaving, _) = server(|_, connection| {
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap();
        false
    });
    let error = body(&connector, &format!("http://{leaving}/")).await.unwrap_err();
    assert_eq!(error.as_other(), Some(ErrorKind::TransientError), "{error:?}");

    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = body(&connector, &format!("http://{refusing}/")).await.unwrap_err();
    assert!(error.is_io(), "{error:?}");

    let (plain, _) = server(well);
    let error = body(&connector, &format!("https://{plain}/")).await.unwrap_err();
    assert!(error.is_io(), "{error:?}");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connector = connector(Some(Duration::from_millis(50)), None);
    let error = body(&connector, &format!("https://{}/", listener.local_addr().unwrap())).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!(format!("{:?}", error.source()).contains("connect"), "{error:?}");
}
