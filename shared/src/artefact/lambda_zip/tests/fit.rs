//! Bundles and the functions that they are for.

use super::*;
use crate::artefact::Architecture;

fn spec(runtime: &str, handler: Option<&str>) -> FunctionSpec {
    FunctionSpec { runtime: runtime.to_owned(), handler: handler.map(str::to_owned), architecture: Architecture::Arm64 }
}

fn elf(class: u8, endianness: u8, kind: u16, machine: u16) -> Vec<u8> {
    let mut elf = [b"\x7fELF", &[class, endianness, 1][..], &[0; 9]].concat();
    elf.extend(kind.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend([0; 200]);
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
    check_fit(&[Item::deflated("bootstrap", &elf(2, 1, 2, 62)).mode(0o100_755)], &x86, "");
    check_fit(&[good], &x86, "architecture-mismatch");
    // What can't be read is not looked into.
    check(&[Item::deflated("bootstrap", &arm).mode(0o100_755).both(|it| it.crc ^= 1)], "zip-content-mismatch");
    check(&[Item::deflated("bootstrap", &arm).mode(0o100_755).both(|it| it.flags |= 1)], "zip-encrypted");
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
