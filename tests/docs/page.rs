//! A page of the documentation, taken apart.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What runs a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// The page's psql session.
    Sql,
    /// A shell of its own, in the page's folder.
    Shell,
}

/// What a page shows as the output of a block.
#[derive(Clone, Debug)]
pub struct Output {
    pub line: usize,
    pub text: String,
    /// Where the text stands in the page.
    pub range: Range<usize>,
}

/// One thing after the other.
#[derive(Clone, Debug)]
pub enum Step {
    Run { line: usize, language: Language, text: String, output: Option<Output> },
    NotRun { line: usize, reason: String },
    Setup { line: usize, language: Language, text: String },
    Await { line: usize, query: String },
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Below the repository's root.
    pub path: PathBuf,
    pub text: String,
    pub steps: Vec<Step>,
}

struct Block {
    language: String,
    text: String,
    range: Range<usize>,
}

enum Part {
    Code(Block),
    Comment {
        text: String,
        at: usize,
    },
    /// Text, a table, a list: what stands between a block and its output.
    Other,
}

impl Page {
    /// README and all of docs/, in order.
    pub fn all() -> Vec<Self> {
        let mut paths =
            vec![PathBuf::from("README.md"), PathBuf::from("ARCHITECTURE.md"), PathBuf::from("CHANGELOG.md")];
        collect(Path::new("docs"), &mut paths);
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Self {
        let text =
            std::fs::read_to_string(root().join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let steps = steps(&path, &text);
        Self { path, text, steps }
    }

    /// Everything of it that is run.
    pub fn is_run_with(&self, word: &str) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Run { text, .. } | Step::Setup { text, .. } => text.contains(word),
            Step::Await { .. } | Step::NotRun { .. } => false,
        })
    }
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// How pages are read, here and by whoever looks at them: tables, and links by their headings.
pub fn parser(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root().join(folder)).expect("a folder of the repository") {
        let entry = entry.expect("a folder of the repository");
        let path = folder.join(entry.file_name());
        if entry.file_type().expect("a file of the repository").is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
}

fn parts(text: &str) -> Vec<Part> {
    let (mut parts, mut code, mut comment) = (Vec::new(), None::<Block>, None::<(String, usize)>);
    for (event, range) in parser(text).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Fenced(info) => info.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                code = Some(Block { language, text: String::new(), range });
            }
            Event::End(TagEnd::CodeBlock) => parts.extend(code.take().map(Part::Code)),
            Event::Start(Tag::HtmlBlock) => comment = Some((String::new(), range.start)),
            Event::End(TagEnd::HtmlBlock) => {
                parts.extend(comment.take().map(|(text, at)| Part::Comment { text, at }));
            }
            Event::Html(html) => comment.as_mut().expect("inside of a block").0.push_str(&html),
            Event::Text(words) if code.is_some() => code.as_mut().expect("just seen").text.push_str(&words),
            _ => parts.push(Part::Other),
        }
    }
    parts
}

fn steps(path: &Path, text: &str) -> Vec<Step> {
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    let fail = |at: usize, what: &str| -> ! { panic!("{}:{}: {what}", path.display(), line_of(at)) };
    let mut steps = Vec::new();
    // The reason why the next block is not run, and whether an output may follow.
    let (mut reason, mut is_behind_block) = (None::<(String, usize)>, false);
    for part in parts(text) {
        let was_behind_block = std::mem::take(&mut is_behind_block);
        match part {
            Part::Other => {
                if let Some((_, at)) = &reason {
                    fail(*at, "a block must follow right behind \"not run\"");
                }
            }
            Part::Comment { text, at } => {
                let line = line_of(at);
                let inner = text.trim().strip_prefix("<!--").and_then(|text| text.strip_suffix("-->"));
                let Some(inner) = inner else { fail(at, "HTML that is no comment") };
                let (head, body) = inner.trim().split_once('\n').unwrap_or((inner.trim(), ""));
                let body = body.to_owned();
                match head.trim() {
                    "setup" => steps.push(Step::Setup { line, language: Language::Sql, text: body }),
                    "setup sh" => steps.push(Step::Setup { line, language: Language::Shell, text: body }),
                    head if head.starts_with("generated:") => {}
                    "await" => steps.push(Step::Await { line, query: body }),
                    head => match head.strip_prefix("not run:") {
                        Some(why) if !why.trim().is_empty() => {
                            let why = format!("{} {body}", why.trim());
                            reason = Some((why.split_whitespace().collect::<Vec<_>>().join(" "), at));
                        }
                        _ => fail(
                            at,
                            "a comment that says nothing to this test: setup, setup sh, await, not run: why",
                        ),
                    },
                }
            }
            Part::Code(block) => {
                let at = block.range.start;
                let language = match block.language.as_str() {
                    "sql" => Language::Sql,
                    "sh" => Language::Shell,
                    "text" | "console" if was_behind_block => {
                        let Some(Step::Run { output, .. }) = steps.last_mut() else { continue };
                        let range = content(text, &block).unwrap_or_else(|| {
                            fail(at, "an output inside of a list cannot be compared: move it out")
                        });
                        *output = Some(Output { line: line_of(at), text: block.text, range });
                        continue;
                    }
                    _ => {
                        if reason.is_some() {
                            fail(at, "only sql and sh blocks are run");
                        }
                        continue;
                    }
                };
                is_behind_block = true;
                if let Some((reason, _)) = reason.take() {
                    steps.push(Step::NotRun { line: line_of(at), reason });
                } else {
                    steps.push(Step::Run { line: line_of(at), language, text: block.text, output: None });
                }
            }
        }
    }
    steps
}

/// Where the content of a fenced block stands, if it stands there as it is.
fn content(text: &str, block: &Block) -> Option<Range<usize>> {
    let start = block.range.start + text[block.range.clone()].find('\n')? + 1;
    let range = start..start + block.text.len();
    (text.get(range.clone())? == block.text).then_some(range)
}
