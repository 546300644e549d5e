//! The page as a browser's parser sees it.

mod document;
mod golden;
mod hostile;
mod page;
mod sample;
mod verdict;
