//! An authority of openssl's own, for tests: a root, a certificate for timestamps, and answers to queries.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
};

/// How an authority differs from the usual one.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// What `openssl genpkey` makes its keys by.
    pub key: &'static str,
    /// The digest that it signs over.
    pub digest: &'static str,
    /// More lines of its section of `openssl ts`.
    pub more: &'static str,
    /// What its certificate is for.
    pub usage: &'static str,
}

/// With P-256, for timestamps alone.
pub const USUAL: Kind = Kind {
    key: "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    digest: "sha256",
    more: "accuracy = secs:1",
    usage: "critical, timeStamping",
};

/// An authority in a folder that goes with it.
#[derive(Debug)]
pub struct Authority(tempfile::TempDir);

/// Runs lines of a shell in a folder.
fn shell(folder: &Path, lines: &str) {
    let output = Command::new("sh").args(["-euc", lines]).current_dir(folder).output();
    #[expect(clippy::expect_used, reason = "tests need a shell and openssl")]
    let output = output.expect("a shell");
    assert!(output.status.success(), "{lines}: {}", String::from_utf8_lossy(&output.stderr));
}

#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "it is for tests")]
impl Authority {
    /// A new one, which nobody else is.
    #[must_use]
    pub fn new(Kind { key, digest, more, usage }: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let configuration = format!(
            "[tsa]\ndefault_tsa = local\n[local]\nserial = serial\ncrypto_device = builtin\nsigner_digest = {digest}\n\
             default_policy = 1.3.6.1.4.1.99999.1\ndigests = sha256\ness_cert_id_alg = sha256\n{more}\n\
             [signer]\nbasicConstraints = critical, CA:false\nkeyUsage = critical, digitalSignature\n\
             extendedKeyUsage = {usage}\n"
        );
        fs::write(folder.path().join("tsa.cnf"), configuration).expect("its configuration");
        let lines = format!(
            "echo 01 > serial
             for name in root tsa; do openssl genpkey {key} -out $name.key; done
             openssl req -x509 -new -key root.key -subj /CN=root -days 2 -out root.pem
             openssl req -new -key tsa.key -subj '/O=Example Trust/CN=tsa' -out tsa.csr
             openssl x509 -req -in tsa.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile tsa.cnf \\
               -extensions signer -out tsa.pem"
        );
        shell(folder.path(), &lines);
        Self(folder)
    }

    /// Its root, in PEM.
    #[must_use]
    pub fn root(&self) -> Vec<u8> {
        fs::read(self.0.path().join("root.pem")).expect("its root")
    }

    /// Its answer to a query.
    #[must_use]
    pub fn answer(&self, query: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir_in(self.0.path()).expect("a folder");
        fs::write(folder.path().join("query.tsq"), query).expect("the query");
        let lines = "cd ..; openssl ts -reply -config tsa.cnf -section local -queryfile \"$OLDPWD\"/query.tsq \
                     -inkey tsa.key -signer tsa.pem -out \"$OLDPWD\"/reply.tsr";
        shell(folder.path(), lines);
        fs::read(folder.path().join("reply.tsr")).expect("the reply")
    }

    /// An answer with this information of a timestamp, signed by a certificate of its root that is for something else, such as
    /// `critical, codeSigning`. `openssl ts` would not, so that `openssl cms` does.
    #[must_use]
    pub fn answer_by(&self, information: &[u8], usage: &str) -> Vec<u8> {
        fs::write(self.0.path().join("information"), information).expect("the information");
        let lines = format!(
            "sed 's/^extendedKeyUsage.*/extendedKeyUsage = {usage}/' tsa.cnf > other.cnf
             openssl x509 -req -in tsa.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile other.cnf \\
               -extensions signer -out other.pem
             openssl cms -sign -binary -nodetach -econtent_type 1.2.840.113549.1.9.16.1.4 -in information \\
               -signer other.pem -inkey tsa.key -md sha256 -outform DER -out token.der"
        );
        shell(self.0.path(), &lines);
        let token = fs::read(self.0.path().join("token.der")).expect("a token");
        let length = u16::try_from(5 + token.len()).expect("a token of less than 64 KiB").to_be_bytes();
        [&[0x30, 0x82, length[0], length[1], 0x30, 0x03, 0x02, 0x01, 0x00], token.as_slice()].concat()
    }

    /// Answers over HTTP at the address that it gives, to so many requests.
    #[must_use]
    pub fn serve(self, requests: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().take(requests).flatten() {
                self.serve_one(stream);
            }
        });
        format!("http://{address}/")
    }

    fn serve_one(&self, stream: TcpStream) {
        let mut request = BufReader::new(stream);
        let (mut length, mut line) = (0, String::new());
        while request.read_line(&mut line).is_ok_and(|read| read > 0) && !line.trim().is_empty() {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let mut query = vec![0; length];
        if request.read_exact(&mut query).is_err() {
            return; // somebody else looked whether anybody listens
        }
        let reply = self.answer(&query);
        let stream = request.get_mut();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", reply.len());
        let _ = stream.write_all(&reply);
    }
}
