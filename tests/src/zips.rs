//! Lambda bundles, as CI makes them and as it must not.

use std::io::{Cursor, Write as _};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A bundle of these files.
#[must_use]
pub fn of(files: &[(&str, &[u8])]) -> Vec<u8> {
    written(files, CompressionMethod::Deflated)
}

/// The bundle of a Node.js function whose code holds `word`, so that it differs from others.
#[must_use]
pub fn node(word: &str) -> Vec<u8> {
    let code =
        format!("exports.handler = async () => ({{statusCode: 200, body: JSON.stringify({{word: '{word}'}})}});\n");
    of(&[("index.js", code.as_bytes())])
}

/// A bundle of `size` bytes of code at the least, which don't get smaller by compression.
#[must_use]
pub fn large(word: &str, size: usize) -> Vec<u8> {
    let mut code = format!("// {word}\n").into_bytes();
    code.resize(size, b' ');
    written(&[("index.js", &code)], CompressionMethod::Stored)
}

fn written(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = SimpleFileOptions::default().compression_method(method).unix_permissions(0o644);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
