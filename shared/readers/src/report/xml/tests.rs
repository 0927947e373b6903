use std::fmt::Write as _;

use super::*;

/// The elements of a document as `name[attributes]` and `/name`; or what is wrong.
fn elements(document: &[u8]) -> Result<String, String> {
    let mut told = String::new();
    let read = |told: &mut String| -> Result<(), Stop> {
        let mut xml = Xml::new(document, Wanted { whole: &["name", "a"], start: &["type"] })?;
        loop {
            match xml.next()? {
                Event::Start => {
                    let attributes: Vec<_> = ["name", "a"].iter().filter_map(|it| xml.attribute(it)).collect();
                    write!(told, "{}{attributes:?} ", xml.name()).unwrap();
                }
                Event::End { has_text } => told.push_str(if has_text { "/text " } else { "/ " }),
                Event::Comment => {}
                Event::Over => return Ok(()),
            }
        }
    };
    match read(&mut told) {
        Ok(()) => Ok(told.trim_end().to_owned()),
        Err(Stop::Not(not)) => Err(not.to_string()),
        Err(Stop::Io(error)) => panic!("{error}"),
    }
}

#[test]
fn a_document_is_its_elements() {
    for (document, told) in [
        ("<a/>", "a[] /"),
        ("<a ></a >", "a[] /"),
        (
            "<?xml version='1.0'?>\n<!-- -- > --><!DOCTYPE a SYSTEM 'http://x/[y]>'>\n<a>x</a>\n<!----><?x?>\n",
            "a[] /text",
        ),
        ("<a name = '1'\n b=\"'<>'\"/>", "the value of `b`"),
        ("<a name = '>' other='\"' a=\"/\" />", "a[\">\", \"/\"] /"),
        ("<a a='&lt;&amp;&gt;&quot;&apos;&#65;&#x2713;&#x1b;é'/>", "a[\"<&>\\\"'A✓\\u{1b}é\"] /"),
        ("<a> \n\t</a>", "a[] /"),
        ("<a>&amp;</a>", "a[] /text"),
        ("<a><![CDATA[]]></a>", "a[] /text"),
        ("<a><![CDATA[<b>]]]]></a>", "a[] /text"),
        ("<a><b:c.d-e/><_f/><é/></a>", "a[] b:c.d-e[] / _f[] / é[] / /"),
        ("<a>\u{1b}[31m]]></a>", "a[] /text"),
    ] {
        match elements(document.as_bytes()) {
            Ok(elements) => assert_eq!(elements, told, "{document}"),
            Err(error) => assert!(error.contains(told), "{document}: {error}"),
        }
    }
}

#[test]
fn what_is_no_document_is_refused_with_the_line() {
    let wrong: Vec<_> = [
        "",
        " \n ",
        "no xml",
        "<a>",
        "<a>\n<b></a>",
        "</a>",
        "<a/>\n<a/>",
        "<a/>x",
        "<a/>&amp;",
        "\u{feff}\u{feff}<a/>",
        "<a b/>",
        "<a b=c/>",
        "<a b='c'd='e'/>",
        "<a name='1' name='2'/>",
        "<a b='<'/>",
        "<a / >",
        "<a></a b>",
        "< a/>",
        "<1/>",
        "<a>&nbsp;</a>",
        "<a>&amp</a>",
        "<a>& </a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&#x110000;</a>",
        "<a><!ELEMENT></a>",
        "<a><![INCLUDE[]]></a>",
        "<![CDATA[x]]><a/>",
        "<a/><!DOCTYPE a>",
        "<a><!-- </a>",
        "<a><?x </a>",
        "<a><![CDATA[</a>",
        "<a b='",
        "<a>\n\n\0</a>",
    ]
    .iter()
    .map(|document| format!("{document:?} {}", elements(document.as_bytes()).unwrap_err()))
    .collect();
    insta::assert_snapshot!(wrong.join("\n"), @r#"
    "" not a report: line 1: it holds no element
    " \n " not a report: line 2: it holds no element
    "no xml" not a report: line 1: text outside of the root element
    "<a>" not a report: line 1: it ends inside of `a`: the document is cut off
    "<a>\n<b></a>" not a report: line 2: `</a>` where `</b>` is awaited
    "</a>" not a report: line 1: `</a>` ends nothing
    "<a/>\n<a/>" not a report: line 2: a second root element, `a`
    "<a/>x" not a report: line 1: text outside of the root element
    "<a/>&amp;" not a report: line 1: text outside of the root element
    "\u{feff}\u{feff}<a/>" not a report: line 1: text outside of the root element
    "<a b/>" not a report: line 1: the attribute `b` has no value
    "<a b=c/>" not a report: line 1: the value of `b` has no quotes
    "<a b='c'd='e'/>" not a report: line 1: no space between two attributes
    "<a name='1' name='2'/>" not a report: line 1: the attribute `name` stands twice
    "<a b='<'/>" not a report: line 1: `<` in the value of `b`
    "<a / >" not a report: line 1: `/` in a start tag
    "<a></a b>" not a report: line 1: `</a` does not end with `>`
    "< a/>" not a report: line 1: a start tag without a name
    "<1/>" not a report: line 1: a start tag without a name
    "<a>&nbsp;</a>" not a report: line 1: the entity `&nbsp;` is none of XML's own
    "<a>&amp</a>" not a report: line 1: `&amp` without `;`
    "<a>& </a>" not a report: line 1: `&` without `;`
    "<a>&#0;</a>" not a report: line 1: `&#0;` is no character
    "<a>&#xD800;</a>" not a report: line 1: `&#xD800;` is no character
    "<a>&#x110000;</a>" not a report: line 1: `&#x110000;` is no character
    "<a><!ELEMENT></a>" not a report: line 1: `<!` begins neither a comment nor a section of characters
    "<a><![INCLUDE[]]></a>" not a report: line 1: `<![` begins no section of characters inside of an element
    "<![CDATA[x]]><a/>" not a report: line 1: `<![` begins no section of characters inside of an element
    "<a/><!DOCTYPE a>" not a report: line 1: `<!` begins neither a comment nor a section of characters
    "<a><!-- </a>" not a report: line 1: it ends inside of a comment: the document is cut off
    "<a><?x </a>" not a report: line 1: it ends inside of a processing instruction: the document is cut off
    "<a><![CDATA[</a>" not a report: line 1: it ends inside of a section of characters: the document is cut off
    "<a b='" not a report: line 1: it ends inside of an attribute: the document is cut off
    "<a>\n\n\0</a>" not a report: line 3: a NUL byte, which no XML may hold
    "#);
}

#[test]
fn entities_that_expand_are_refused_and_documents_elsewhere_not_read() {
    let bomb = r#"<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>"#;
    let external = r#"<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>"#;
    for document in [bomb, external] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(
                elements(document.as_bytes()).unwrap_err(),
                @"not a report: line 1: its document type declares something, such as entities: leave that out"
            );
        }
    }
    assert!(elements(br#"<!DOCTYPE a SYSTEM "file:///dev/zero"><a/>"#).is_ok());
}

#[test]
fn a_hostile_document_ends_before_it_costs_memory() {
    for (unit, start) in
        [("<a>", ""), ("x", "<"), ("x", "<a "), ("x", "<a name='"), ("&amp;", "<a name='"), ("x", "<a>&"), ("x", "</")]
    {
        struct Endless(&'static [u8], usize);
        impl std::io::Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                for byte in &mut *buffer {
                    *byte = self.0[self.1 % self.0.len()];
                    self.1 += 1;
                }
                Ok(buffer.len())
            }
        }
        let mut xml =
            Xml::new(start.as_bytes().chain(Endless(unit.as_bytes(), 0)), Wanted { whole: &["name"], start: &[] })
                .unwrap();
        let error = loop {
            match xml.next() {
                Ok(_) => {}
                Err(Stop::Not(not)) => break not.to_string(),
                Err(Stop::Io(error)) => panic!("{error}"),
            }
        };
        assert!(!error.is_empty());
    }
}

#[test]
fn a_read_that_fails_is_an_error_and_no_verdict() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "gone"))
        }
    }
    let long = format!("<a>{}", "x".repeat(2000));
    let mut xml = Xml::new(long.as_bytes().chain(Broken), Wanted { whole: &[], start: &[] }).unwrap();
    assert!(matches!(xml.next(), Ok(Event::Start)));
    assert!(matches!(xml.next(), Err(Stop::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionReset));
}
