//! A page parsed as browsers do, as plain data.

use html5ever::tendril::TendrilSink;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

/// An element with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// All text directly in it.
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// It and all elements below it, in the order of the page.
    pub fn all(&self) -> Vec<&Element> {
        std::iter::once(self).chain(self.children.iter().flat_map(Element::all)).collect()
    }

    /// The elements of this name.
    pub fn named(&self, name: &str) -> Vec<&Element> {
        self.all().into_iter().filter(|element| element.name == name).collect()
    }

    /// All text in it.
    pub fn whole_text(&self) -> String {
        self.all().iter().map(|element| element.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// The root element. What a browser would have to mend is a failure, and so is a comment.
pub fn parse(html: &str) -> Element {
    let dom = parse_document(RcDom::default(), ParseOpts::default()).one(html);
    let errors = dom.errors.borrow();
    assert!(errors.is_empty(), "{errors:?}");
    let document = dom.document.children.borrow();
    let mut roots = document.iter().filter_map(element);
    roots.next().expect("an element")
}

fn element(node: &Handle) -> Option<Element> {
    match &node.data {
        NodeData::Element { name, attrs, .. } => {
            let children = node.children.borrow();
            let text = children.iter().filter_map(|child| match &child.data {
                NodeData::Text { contents } => Some(contents.borrow().to_string()),
                _ => None,
            });
            Some(Element {
                name: name.local.to_string(),
                attributes: attrs
                    .borrow()
                    .iter()
                    .map(|attribute| (attribute.name.local.to_string(), attribute.value.to_string()))
                    .collect(),
                text: text.collect(),
                children: children.iter().filter_map(element).collect(),
            })
        }
        NodeData::Comment { contents } => panic!("a comment: {contents}"),
        NodeData::ProcessingInstruction { target, .. } => panic!("a processing instruction: {target}"),
        _ => None,
    }
}
