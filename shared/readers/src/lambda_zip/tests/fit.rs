//! Bundles and the functions that they are for.

use super::*;
use crate::function_spec::Architecture;

fn spec(runtime: &str, handler: Option<&str>) -> FunctionSpec {
    FunctionSpec { runtime: runtime.to_owned(), handler: handler.map(str::to_owned), architecture: Architecture::Arm64 }
}

/// A program of one segment with the loader `interpreter`, or a static one.
fn elf(class: u8, endianness: u8, kind: u16, machine: u16) -> Vec<u8> {
    program(class, endianness, kind, machine, "/lib/ld-linux-aarch64.so.1")
}

fn program(class: u8, endianness: u8, kind: u16, machine: u16, interpreter: &str) -> Vec<u8> {
    let mut elf = [b"\x7fELF", &[class, endianness, 1][..], &[0; 9]].concat();
    elf.extend(kind.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend(1_u32.to_le_bytes());
    elf.extend(0x40_1000_u64.to_le_bytes()); // where it starts
    elf.extend(64_u64.to_le_bytes()); // its program headers
    elf.extend([0; 12]);
    for half in [64_u16, 56, 2, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    let path = [interpreter.as_bytes(), &[0]].concat();
    let length = (64 + 2 * 56 + path.len()) as u64;
    let loader = if interpreter.is_empty() { (6, 0, 0) } else { (3, 64 + 2 * 56, path.len() as u64) };
    for (kind, at, size) in [loader, (1_u32, 0_u64, length)] {
        elf.extend(kind.to_le_bytes());
        elf.extend(5_u32.to_le_bytes());
        for value in [at, 0x40_0000, 0x40_0000, size, size, 0x1000] {
            elf.extend(value.to_le_bytes());
        }
    }
    elf.extend(path);
    elf
}

#[track_caller]
fn check_fit(items: &[Item], spec: &FunctionSpec, expect: &str) {
    assert_eq!(codes_of(&zip(items), Some(spec), &Limits::default()).join(" "), expect, "{spec:?}");
}

#[test]
fn an_os_only_runtime_needs_a_bootstrap_that_it_can_execute() {
    let arm = elf(2, 1, 3, 183);
    let good = Item::deflated("bootstrap", &arm).mode(0o100_755);
    for runtime in ["provided.al2023", "provided.al2", "provided"] {
        check_fit(std::slice::from_ref(&good), &spec(runtime, None), "");
    }
    let check = |items: &[Item], expect| {
        check_fit(items, &spec("provided.al2023", Some("any.thing")), expect);
    };
    check(&[Item::stored("bootstrap", &arm).mode(0o100_755)], "");
    check(&[good.clone().streamed(true, false)], "");
    check(&[Item::deflated("bootstrap", b"#!/bin/sh\nexec ./app").mode(0o100_755)], "");
    check(&[Item::link("bootstrap", "bin/app"), Item::deflated("bin/app", &arm).mode(0o100_755)], "");
    check(&[Item::link("bootstrap", "bin/app"), Item::deflated("bin/app", &arm)], "bootstrap-missing");
    check(&[Item::link("bootstrap", "bin/app")], "bootstrap-missing");
    check(&[text("index.js")], "bootstrap-missing");
    check(&[Item::folder("bootstrap/")], "bootstrap-missing");
    check(&[Item::deflated("bin/bootstrap", &arm).mode(0o100_755)], "bootstrap-missing");
    check(&[Item::deflated("bootstrap", &arm).mode(0o100_644)], "bootstrap-missing");
    check(&[Item::deflated("bootstrap", &arm).with(|it| it.made_by = 20)], "bootstrap-missing");
    for other in [
        elf(2, 1, 3, 62),
        elf(1, 1, 3, 183),
        elf(2, 2, 3, 183),
        elf(2, 1, 1, 183),
        b"MZ".to_vec(),
        b"\x7fELF\x02\x01".to_vec(),
        Vec::new(),
    ] {
        check(&[Item::deflated("bootstrap", &other).mode(0o100_755)], "architecture-mismatch");
    }
    let x86 = FunctionSpec { architecture: Architecture::X86_64, ..spec("provided.al2023", None) };
    let gnu = program(2, 1, 2, 62, "/lib64/ld-linux-x86-64.so.2");
    check_fit(&[Item::deflated("bootstrap", &gnu).mode(0o100_755)], &x86, "");
    check_fit(&[good], &x86, "architecture-mismatch");
    // Lambda starts it as another user.
    check(&[Item::deflated("bootstrap", &arm).mode(0o100_744)], "bootstrap-missing");
    check(&[Item::deflated("bootstrap", &arm).mode(0o100_700)], "bootstrap-missing zip-unreadable");
    // What can't be read is not looked into.
    check(&[Item::deflated("bootstrap", &arm).mode(0o100_755).both(|it| it.crc ^= 1)], "zip-content-mismatch");
    check(&[Item::deflated("bootstrap", &arm).mode(0o100_755).both(|it| it.flags |= 1)], "zip-encrypted");
}

#[track_caller]
fn check_bootstrap(bytes: &[u8], expect: &str) {
    let items = [
        Item::deflated("bootstrap", bytes).mode(0o100_755),
        Item::stored("bin/node", b"x").mode(0o100_755),
        Item::stored("bin/data", b"x"),
    ];
    check_fit(&items, &spec("provided.al2023", None), expect);
}

#[test]
fn a_bootstrap_that_is_a_script_names_an_interpreter_and_ends_its_line_with_lf() {
    let interpreters =
        ["/bin/sh", "/usr/bin/env python3", " /bin/bash -eu", "\t/opt/node/bin/node", "/var/task/bin/node"];
    for interpreter in interpreters {
        check_bootstrap(format!("#!{interpreter}\nexec ./app").as_bytes(), "");
    }
    let refused = [
        "#!/bin/sh\r\necho",
        "#!/bin/sh",
        "#!\necho",
        "#!  \t\necho",
        "#!sh\necho",
        "#!bin/sh\necho",
        "#!/bin/\0sh\necho",
        "#!/var/task/bin/gone\n",
        "#!/var/task/bin/data\n",
        &format!("#!/{}\n", "b/".repeat(127)),
    ];
    for script in refused {
        check_bootstrap(script.as_bytes(), "bootstrap-invalid");
    }
    // A byte order mark, as editors of Windows write it, is before the `#!`.
    check_bootstrap("\u{feff}#!/bin/sh\n".as_bytes(), "architecture-mismatch");
}

#[test]
fn a_bootstrap_that_is_a_program_is_whole_and_has_its_loader() {
    let whole = elf(2, 1, 3, 183);
    for length in 20..whole.len() {
        check_bootstrap(&whole[..length], "bootstrap-invalid");
    }
    check_bootstrap(&whole, "");
    check_bootstrap(&program(2, 1, 2, 183, ""), "");
    for loader in ["/opt/lib/ld.so", "/var/task/bin/node"] {
        check_bootstrap(&program(2, 1, 3, 183, loader), "");
    }
    for loader in ["/lib/ld-musl-aarch64.so.1", "/nix/store/a-glibc/ld.so", "ld.so", "/var/task/bin/gone"] {
        check_bootstrap(&program(2, 1, 3, 183, loader), "bootstrap-invalid");
    }
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let lies: [(usize, &[u8]); 8] = [
        (24, &[0; 8]),              // no entry point: a library
        (32, &[0xFF; 8]),           // program headers beyond the end
        (54, &[32]),                // of another size
        (56, &[0, 0]),              // none
        (56, &[0xFF, 0xFF]),        // too many
        (64 + 8, &[0xFF; 8]),       // the loader's name beyond the end
        (64 + 56 + 32, &[0xFF; 4]), // a segment beyond it
        (64 + 56, &[2]),            // nothing to load
    ];
    for (at, bytes) in lies {
        check_bootstrap(&changed(at, bytes), "bootstrap-invalid");
    }
    // A program whose headers were moved behind everything, as patchelf does.
    let mut moved = changed(32, &(whole.len() as u64).to_le_bytes());
    moved.extend_from_slice(&whole[64..64 + 2 * 56]);
    check_bootstrap(&moved, "");
}

#[test]
fn a_handler_names_a_file_of_the_bundle() {
    let check = |runtime: &str, handler: &str, file: &str, found: bool| {
        let expect = if found { "" } else { "handler-missing" };
        check_fit(&[text(file)], &spec(runtime, Some(handler)), expect);
    };
    let node = |handler: &str, file: &str, found| check("nodejs22.x", handler, file, found);
    for file in ["index.js", "index.mjs", "index.cjs", "index", "index/index.js", "index/package.json"] {
        node("index.handler", file, true);
    }
    node("index.nested.handler", "index.js", true);
    node("./dist/api.handler", "dist/api.mjs", true);
    node("dist/api.v1.handler", "dist/api.js", true);
    node("/var/task/dist/api.handler", "dist/api.js", true);
    node("index.handler", "dist/index.js", false);
    node("index.handler", "Index.js", false);
    node("index", "index.js", false);
    node("../index.handler", "index.js", false);
    node("index.handler", "index.ts", false);
    check("nodejs24.x", "index.handler", "index.ts", true);

    let python = |handler: &str, file: &str, found| check("python3.13", handler, file, found);
    for file in [
        "pkg/mod.py",
        "pkg/mod/__init__.py",
        "pkg/mod.pyc",
        "pkg/mod.cpython-313-x86_64-linux-gnu.so",
        "pkg/mod/__init__.abi3.so",
    ] {
        python("pkg.mod.handler", file, true);
        python("pkg/mod.handler", file, true);
    }
    python("app.handler", "app.py", true);
    python("app.handler", "src/app.py", false);
    python("app.handler", "app/sub.so", false);
    python("handler", "handler.py", false);
    python(".app.handler", "app.py", false);

    check("ruby3.3", "lambda_function.LambdaFunctions::Handler.process", "lambda_function.rb", true);
    check("ruby3.3", "lib/app.handler", "lib/app.rb", true);
    check("ruby3.3", "app.handler", "app.py", false);
    // A class in a jar, an assembly's method, and what we don't know.
    check("java21", "example.Handler::handleRequest", "lib/app.jar", true);
    check("dotnet8", "Assembly::Namespace.Class::Method", "Assembly.dll", true);
    check("elixir1", "whatever", "a", true);
}

#[test]
fn a_handler_in_a_layer_is_not_looked_up() {
    let layer = "/opt/nodejs/node_modules/datadog-lambda-js/handler.handler";
    check_fit(&[text("index.js")], &spec("nodejs22.x", Some(layer)), "");
    check_fit(&[text("index.js")], &spec("nodejs22.x", None), "");
}

#[test]
fn a_handler_is_found_through_links() {
    let items = [Item::link("src", "dist"), Item::link("dist/index.js", "main.js"), text("dist/main.js")];
    check_fit(&items, &spec("nodejs22.x", Some("src/index.handler")), "");
    check_fit(&[Item::link("index.js", "gone.js")], &spec("nodejs22.x", Some("index.handler")), "handler-missing");
}
