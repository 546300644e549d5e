//! Whatever a text is, it is that text on the page, and nothing but text.

use proptest::prelude::*;

use super::document::{Element, parse};
use super::sample;
use crate::report::render;

/// What stands for the text of this number while the two pages are compared.
fn token(number: usize) -> String {
    format!("token{number}end")
}

/// A text as the page shows it: what cannot be seen is spelled out.
fn shown(text: &str) -> String {
    let sealed = crate::report::seal::seal(text);
    let element = parse(&format!(
        "<!DOCTYPE html><html><head><title>x</title></head><body><p>{}</p></body></html>",
        sealed.replace('<', "&lt;")
    ));
    element.named("p")[0].text.clone()
}

/// Both pages have the same elements and attributes, and where one has a token the other has its text.
fn compare(plain: &Element, hostile: &Element, texts: &[String]) {
    let put_in = |text: &str| {
        let mut text = text.to_owned();
        for (number, given) in texts.iter().enumerate().rev() {
            text = text.replace(&token(number), given);
        }
        text
    };
    assert_eq!(plain.name, hostile.name);
    let names =
        |element: &Element| element.attributes.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(plain), names(hostile));
    for ((name, plain), (_, hostile)) in plain.attributes.iter().zip(&hostile.attributes) {
        assert_eq!(put_in(plain), *hostile, "attribute {name}");
    }
    assert_eq!(put_in(&plain.text), hostile.text, "in {}", plain.name);
    assert_eq!(plain.children.len(), hostile.children.len(), "children of {}", plain.name);
    for (plain, hostile) in plain.children.iter().zip(&hostile.children) {
        compare(plain, hostile, texts);
    }
}

fn check(texts: &[String]) {
    let mut used = 0;
    let plain = sample::with_texts(&mut |_| {
        used += 1;
        token(used - 1)
    });
    let mut number = 0;
    let mut given = Vec::new();
    let hostile = sample::with_texts(&mut |_| {
        let text = texts[number % texts.len()].clone();
        number += 1;
        given.push(text.clone());
        text
    });
    assert_eq!(used, number);
    // A tag within a token's text would be replaced as well: texts have none.
    let expected: Vec<String> = given.iter().map(|text| spelled(text)).collect();
    let page = render(&hostile);
    assert!(page.is_ascii());
    compare(&parse(&render(&plain)), &parse(&page), &expected);
}

/// A text as the page must show it, told apart from how the page does it.
fn spelled(text: &str) -> String {
    text.chars()
        .map(|c| {
            if crate::report::seal::seal(&c.to_string()).starts_with("[U+") {
                format!("[U+{:04X}]", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect()
}

#[test]
fn what_breaks_other_pages() {
    let texts = [
        "<script>alert(1)</script>",
        "</title><script>alert(1)</script>",
        "</style><img src=x onerror=alert(1)>",
        "\" onmouseover=\"alert(1)",
        "' onfocus='alert(1)' autofocus='",
        "</svg><svg onload=alert(1)>",
        "--><!--<![CDATA[]]>",
        "&lt;b&gt; &amp;amp; &#x3c; &notit;",
        "javascript:alert(1)",
        "{{7*7}} ${7*7} <%= 7*7 %>",
        "\u{202e}gnp.exe\u{2066}\u{0}\r\n\u{7}",
        "<table><tr><td></table><plaintext>",
        "a\u{300}\u{301} 大 👩\u{200d}🚀 \u{feff}",
        "<textarea><title><noscript><template><iframe srcdoc='x'>",
    ];
    check(&texts.map(str::to_owned));
    for text in texts {
        check(&[text.to_owned()]);
    }
}

#[test]
fn the_parser_sees_what_is_spelled() {
    for text in ["a\tb\nc", "Größe 大 👩\u{200d}🚀", "\u{202e}\u{0}"] {
        assert_eq!(shown(text), spelled(text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_text_is_only_text(texts in prop::collection::vec("[<>&\"'/=!a-z;#x\\-\\PC\\s]{0,40}|\\PC{1,30}|(<[a-z]{1,6}|</[a-z]{1,6}>|&[a-z#0-9]{1,5};?|\"|'|--|\\]\\]>){1,8}|.{0,20}", 1..12)) {
        prop_assume!(texts.iter().all(|text| !text.contains("token")));
        check(&texts);
    }
}
