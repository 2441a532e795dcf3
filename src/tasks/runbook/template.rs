//! Pages with holes. `{{key}}` is replaced where the key is known; three kinds of lines choose others:
//! `{{each database}}` repeats what follows for each, `{{if COMMAND}}` keeps it where there is such a command, both up to `{{end}}`.

/// What fills the holes.
pub struct Values {
    /// Key and value, for everywhere.
    pub everywhere: Vec<(&'static str, String)>,
    /// The same, for each database.
    pub databases: Vec<Vec<(&'static str, String)>>,
}

/// The page with its holes filled. A key that nobody knows stays as it is.
pub fn fill(page: &str, values: &Values, commands: &[&str]) -> String {
    let mut filled = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        match directive(line) {
            Some(("each", "database")) => {
                let block = block(&mut lines);
                for database in &values.databases {
                    for line in &block {
                        push(&mut filled, line, database.iter().chain(&values.everywhere));
                    }
                }
            }
            Some(("if", command)) => {
                let block = block(&mut lines);
                for line in block.iter().filter(|_| commands.contains(&command)) {
                    push(&mut filled, line, values.everywhere.iter());
                }
            }
            _ => push(&mut filled, line, values.everywhere.iter()),
        }
    }
    filled
}

/// A line that is nothing but `{{word word}}`.
fn directive(line: &str) -> Option<(&str, &str)> {
    let inner = line.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    inner.split_once(' ')
}

fn block<'a>(lines: &mut std::str::Lines<'a>) -> Vec<&'a str> {
    lines.take_while(|line| line.trim() != "{{end}}").collect()
}

/// One pass: what a value brings along is not looked at again.
fn push<'a>(
    filled: &mut String,
    line: &str,
    values: impl Iterator<Item = &'a (&'static str, String)> + Clone,
) {
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("{{") {
        let known = behind.split_once("}}").and_then(|(key, after)| {
            let (_, value) = values.clone().find(|(name, _)| *name == key)?;
            Some((value, after))
        });
        filled.push_str(before);
        match known {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push_str("{{");
                rest = behind;
            }
        }
    }
    filled.push_str(rest);
    filled.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_once_and_blocks_follow_what_there_is() {
        let values = Values {
            everywhere: vec![("root", "/srv".into()), ("odd", "{{root}}".into())],
            databases: vec![vec![("name", "a".into())], vec![("name", "b".into())]],
        };
        let page = "in {{root}} and {{unknown}} {{odd}} {{\n{{each database}}\n- {{name}} {{root}}\n{{end}}\n{{if health}}\nhealth\n{{end}}\n{{if gpu}}\ngpu\n{{end}}\nend";
        assert_eq!(
            fill(page, &values, &["health"]),
            "in /srv and {{unknown}} {{root}} {{\n- a /srv\n- b /srv\nhealth\nend\n"
        );
    }

    #[test]
    fn a_block_without_end_goes_to_the_end() {
        let values = Values {
            everywhere: Vec::new(),
            databases: Vec::new(),
        };
        assert_eq!(fill("a\n{{if x}}\nb", &values, &[]), "a\n");
    }
}
