//! Whether Lambda could start the `bootstrap` of an OS-only runtime.
//!
//! What Linux asks of a program is in `execve(2)` and `elf(5)`, and of a script in `fs/binfmt_script.c`.

use std::io::{self, Read, Seek};

use gatekeeper_model::finding::Code;

use super::{Findings, contents, directory::Entry, fit::TASK_ROOT, record::Fields, shown, tree::Tree};
use crate::function_spec::Architecture;

/// How much of a script Linux reads for its first line (`BINPRM_BUF_SIZE`).
const SHEBANG_BYTES: usize = 256;

/// An ELF-64 header, and one of its program headers.
const ELF_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: u16 = 56;

/// How many program headers are read: programs have about ten.
const MAX_PROGRAM_HEADERS: u16 = 64;

/// The longest path of an interpreter (`PATH_MAX`).
const MAX_INTERPRETER_BYTES: u64 = 4096;

/// The dynamic loaders of Amazon Linux, by architecture.
const LOADERS: &[&str] = &["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];

/// Checks that OS-only runtimes find an executable `bootstrap` at the root
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html>) that can be started: a whole ELF program, or a
/// script. `archive` is given where its entries can be read.
pub(super) fn check(
    archive: Option<&mut (impl Read + Seek)>,
    tree: &Tree<'_>,
    architecture: Architecture,
    findings: &mut Findings<'_>,
) -> io::Result<()> {
    let mut missing = |message: &str| findings.say(Code::BootstrapMissing, message);
    let Some(entry) = tree.file("bootstrap") else {
        missing("there is no file `bootstrap` at the archive's root");
        return Ok(());
    };
    match entry.mode {
        None => missing("`bootstrap` has no Unix permissions, so Lambda can't execute it: make the archive on Unix"),
        Some(mode) if mode & 0o111 == 0 => missing("`bootstrap` is not executable"),
        Some(mode) if mode & 0o111 != 0o111 => missing(&format!(
            "`bootstrap` has the mode {mode:04o}, and Lambda starts it as another user: make it executable for all (0755)"
        )),
        Some(_) => {}
    }
    let Some(archive) = archive else {
        return Ok(());
    };
    if entry.opaque {
        return Ok(());
    }
    let head = contents::range(archive, entry, 0, SHEBANG_BYTES as u64)?;
    let told = if let Some(line) = head.strip_prefix(b"#!") {
        script(line, tree)
    } else if let Some(rest) = head.strip_prefix(b"\x7fELF") {
        match header(&head, rest, architecture) {
            Ok(header) => program(archive, entry, &header, tree)?,
            Err(told) => Err(told),
        }
    } else {
        Err((Code::ArchitectureMismatch, "is neither an ELF program nor a script".to_owned()))
    };
    if let Err((code, message)) = told {
        findings.say(code, format!("`bootstrap` {message}"));
    }
    Ok(())
}

type Told = Result<(), (Code, String)>;

fn invalid(message: impl Into<String>) -> Told {
    Err((Code::BootstrapInvalid, message.into()))
}

/// Why a script can't be started whose first bytes behind `#!` are `line`.
fn script(line: &[u8], tree: &Tree<'_>) -> Told {
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return invalid(format!("has no end of its first line within {SHEBANG_BYTES} bytes"));
    };
    let line = line.get(..end).unwrap_or_default();
    if line.contains(&b'\r') {
        return invalid("has lines that end in CR LF, so its interpreter is not found: write them with LF");
    }
    if line.contains(&0) {
        return invalid("has a first line that holds a zero byte");
    }
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let Some(interpreter) = words.next() else {
        return invalid("names no interpreter behind `#!`");
    };
    let Some(path) = std::str::from_utf8(interpreter).ok().filter(|path| path.starts_with('/')) else {
        return invalid(format!("names the interpreter `{}`, which is no absolute path", shown(interpreter)));
    };
    bundled(path, tree)
}

/// Tells whether an interpreter that would be in the bundle is not there.
fn bundled(path: &str, tree: &Tree<'_>) -> Told {
    let Some(inside) = path.strip_prefix(TASK_ROOT) else { return Ok(()) };
    match tree.file(inside) {
        Some(file) if file.mode.is_some_and(|mode| mode & 0o001 == 0) => {
            invalid(format!("needs `{}`, which is not executable for all", shown(path.as_bytes())))
        }
        Some(_) => Ok(()),
        None => invalid(format!("needs `{}`, which the archive does not hold", shown(path.as_bytes()))),
    }
}

/// What an ELF header says of the program's other parts.
struct Header {
    headers_at: u64,
    headers: u16,
}

/// Reads the header of a program; `rest` is `head` behind the magic bytes.
fn header(head: &[u8], rest: &[u8], architecture: Architecture) -> Result<Header, (Code, String)> {
    // 64-bit, little-endian; then padding up to the type and the machine.
    let (Some([2, 1, ..]), Some(tail)) = (rest.get(..2), rest.get(12..16)) else {
        return Err((Code::ArchitectureMismatch, "is not a 64-bit little-endian ELF program".to_owned()));
    };
    let mut fields = Fields(tail);
    let (kind, machine) = (fields.u16(), fields.u16());
    let (wanted, name) = match architecture {
        Architecture::X86_64 => (62, "x86_64"),
        Architecture::Arm64 => (183, "arm64"),
    };
    // An executable, or a position-independent one.
    if !matches!(kind, 2 | 3) {
        return Err((Code::ArchitectureMismatch, "is an ELF file but not a program".to_owned()));
    }
    if machine != wanted {
        let machine = match machine {
            62 => "x86_64".to_owned(),
            183 => "arm64".to_owned(),
            other => format!("ELF machine {other}"),
        };
        return Err((Code::ArchitectureMismatch, format!("is built for {machine}, the template says {name}")));
    }
    let Some(header) = head.get(..ELF_BYTES) else {
        return Err((Code::BootstrapInvalid, "is cut off within its ELF header".to_owned()));
    };
    let mut fields = Fields(header.get(24..).unwrap_or_default());
    let (entry_point, headers_at) = (fields.u64(), fields.u64());
    fields.u64(); // the section headers, which nobody needs to run it
    fields.u32(); // flags
    fields.u16(); // its own size
    let (size, headers) = (fields.u16(), fields.u16());
    let wrong = if entry_point == 0 {
        "is a library, not a program: it has no entry point"
    } else if size != PROGRAM_HEADER_BYTES || headers == 0 || headers > MAX_PROGRAM_HEADERS {
        "has no program headers that Linux would load"
    } else {
        return Ok(Header { headers_at, headers });
    };
    Err((Code::BootstrapInvalid, wrong.to_owned()))
}

const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;

/// Why a program with this header can't be loaded.
fn program(archive: &mut (impl Read + Seek), entry: &Entry, header: &Header, tree: &Tree<'_>) -> io::Result<Told> {
    let wanted = u64::from(header.headers) * u64::from(PROGRAM_HEADER_BYTES);
    let table = contents::range(archive, entry, header.headers_at, wanted)?;
    let cut_off = |what: &str| Ok(invalid(format!("is cut off: {what} lies behind its {} bytes", entry.size)));
    if (table.len() as u64) < wanted {
        return cut_off("a program header");
    }
    let mut loads = 0;
    let mut interpreter = None;
    for row in table.chunks_exact(PROGRAM_HEADER_BYTES.into()) {
        let mut fields = Fields(row);
        let kind = fields.u32();
        fields.u32(); // flags
        let at = fields.u64();
        fields.u64(); // where it goes in memory
        fields.u64();
        let size = fields.u64();
        if !matches!(kind, LOAD | INTERPRETER) {
            continue;
        }
        if at.checked_add(size).is_none_or(|end| end > entry.size) {
            return cut_off("a segment");
        }
        if kind == LOAD {
            loads += 1;
        } else {
            interpreter = Some((at, size));
        }
    }
    if loads == 0 {
        return Ok(invalid("has nothing to load"));
    }
    let Some((at, size)) = interpreter else { return Ok(Ok(())) };
    if size > MAX_INTERPRETER_BYTES {
        return Ok(invalid("names a loader longer than a path may be"));
    }
    let path = contents::range(archive, entry, at, size)?;
    let path = path.strip_suffix(&[0]).and_then(|path| std::str::from_utf8(path).ok()).unwrap_or_default();
    Ok(if LOADERS.contains(&path) || path.starts_with("/opt/") {
        Ok(())
    } else if path.starts_with(TASK_ROOT) {
        bundled(path, tree)
    } else {
        let path = shown(path.as_bytes());
        invalid(format!("needs the loader `{path}`, which Lambda does not have: link it statically, or against glibc"))
    })
}
