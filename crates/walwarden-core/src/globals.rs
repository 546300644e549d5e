//! The globals as pg_dumpall writes them: a script for psql.

/// The script without the two commands that are for psql and not for a server. Since August 2025 pg_dumpall begins with
/// `\restrict` and ends with `\unrestrict`; comments may come before the first and after the last. The same words elsewhere,
/// in a comment on a role, say, are text.
pub fn without_meta_commands(script: &str) -> String {
    let lines: Vec<&str> = script.lines().collect();
    let says_something = |line: &&str| !line.trim().is_empty() && !line.starts_with("--");
    let first = lines.iter().position(says_something).filter(|&line| lines[line].starts_with("\\restrict "));
    let last =
        lines.iter().rposition(says_something).filter(|&line| lines[line].starts_with("\\unrestrict "));
    let kept = lines.iter().enumerate().filter(|(line, _)| Some(*line) != first && Some(*line) != last);
    kept.map(|(_, line)| *line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::without_meta_commands;

    #[test]
    fn the_first_and_the_last_line_go_and_no_others() {
        let script = "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict abc\n\nCREATE ROLE a;\nCOMMENT ON ROLE a IS 'x\n\
                      \\restrict y\n\\unrestrict z\n';\n\n--\n-- complete\n--\n\n\\unrestrict abc\n\n-- end\n";
        let expected = "--\n-- PostgreSQL database cluster dump\n--\n\n\nCREATE ROLE a;\nCOMMENT ON ROLE a IS 'x\n\
                        \\restrict y\n\\unrestrict z\n';\n\n--\n-- complete\n--\n\n\n-- end";
        assert_eq!(without_meta_commands(script), expected);
    }

    #[test]
    fn older_scripts_stay_as_they_are() {
        for script in ["", "\n", "-- nothing", "CREATE ROLE a;", "COMMENT ON ROLE a IS '\n\\restrict x\n'\n;"]
        {
            assert_eq!(without_meta_commands(script), script.trim_end_matches('\n'));
        }
    }
}
