//! A configured command and the figure that it prints, compared with its own past.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Serialize;

use super::Detail;
use crate::config::sections::{Better, Gpu};
use crate::context::Context;
use crate::error::{Failure, Kind};
use crate::journal;
use crate::report::{Cell, Document, Finding, Reporter, Severity, Step, Table};
use crate::sys::process;

const SLOWER: &str = "gpu.benchmark";
const METRIC: &str = "gpu_benchmark";
/// The past that it is compared with.
const PAST: SignedDuration = SignedDuration::from_hours(180 * 24);
/// Fewer figures than this are no past.
const FEW: usize = 5;
/// Figures that the median is of, the newest.
const MOST: usize = 20;

/// One figure.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Figure {
    /// The batch size, where the benchmark takes one.
    batch: Option<u32>,
    /// The last number that it printed.
    value: f64,
    /// The median of its past; absent while there is too little.
    median: Option<f64>,
    /// How much worse than that, %; negative where it is better.
    worse_percent: Option<f64>,
}

/// Runs it for each batch size. In a dry run it is only listed.
pub(super) fn run(
    context: &Context,
    report: &Reporter,
    settings: &Gpu,
    batches: &[Option<u32>],
    detail: &mut Detail,
) -> anyhow::Result<()> {
    for batch in batches {
        let step = Step {
            kind: "run",
            target: command(settings, *batch).join(" "),
            reason: "[gpu] benchmark".to_owned(),
        };
        let value = report.act(step, |_| measure(context, settings, *batch))?;
        if let Some(value) = value {
            let figure = compare(context, settings, *batch, value)?;
            judge(report, settings, &figure);
            detail.benchmarks.push(figure);
        }
    }
    if !detail.benchmarks.is_empty() {
        report.document(Document::Table(table(settings, &detail.benchmarks)));
    }
    Ok(())
}

fn command(settings: &Gpu, batch: Option<u32>) -> Vec<String> {
    let size = batch.map(|batch| batch.to_string()).unwrap_or_default();
    let words = settings.benchmark.iter();
    words.map(|word| word.replace("{batch}", &size)).collect()
}

fn measure(context: &Context, settings: &Gpu, batch: Option<u32>) -> anyhow::Result<f64> {
    let words = command(settings, batch);
    let limit = settings.benchmark_limit.0;
    let output = process::run(process::from_list(&words)?, limit, &context.stop)?;
    let failed = |text: String| Failure::new(Kind::Failed, format!("the benchmark {text}"));
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = said.lines().last().unwrap_or_default().to_owned();
        return Err(failed(format!("ended with {}: {last}", output.status)).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match figure_in(&text) {
        Some(Ok(figure)) => Ok(figure),
        Some(Err(word)) => Err(
            failed(format!("printed {word}: is that one number or several?"))
                .hint("have it print its figure without commas")
                .into(),
        ),
        None => Err(failed("printed no number".to_owned())
            .hint("its last word that is a number is its figure")
            .into()),
    }
}

/// The last number, with or without a unit behind it; the word where commas leave open which number it is.
fn figure_in(text: &str) -> Option<Result<f64, &str>> {
    text.split(|c: char| c.is_whitespace() || ";:=()[]{}\"'".contains(c))
        .rev()
        .map(|word| word.trim_matches([',', '.', '!']))
        .find_map(figure)
}

fn figure(word: &str) -> Option<Result<f64, &str>> {
    let has_comma = word
        .as_bytes()
        .windows(3)
        .any(|three| three[0].is_ascii_digit() && three[1] == b',' && three[2].is_ascii_digit());
    if has_comma {
        return Some(Err(word));
    }
    // inf and nan are numbers to Rust.
    let begins = word.trim_start_matches(['+', '-', '.']);
    if !begins.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number = word.parse().ok().or_else(|| {
        let (number, unit) =
            word.split_at(word.find(|c: char| c.is_alphabetic() || "%°".contains(c))?);
        let is_unit = !unit.contains(|c: char| c.is_ascii_digit());
        number.parse().ok().filter(|_| is_unit)
    });
    number.filter(|number: &f64| number.is_finite()).map(Ok)
}

/// What each size is called in the journal.
fn label(batch: Option<u32>) -> String {
    batch.map_or_else(|| "none".to_owned(), |batch| batch.to_string())
}

fn compare(
    context: &Context,
    settings: &Gpu,
    batch: Option<u32>,
    value: f64,
) -> anyhow::Result<Figure> {
    let since = context.now.checked_sub(PAST)?;
    let name = label(batch);
    let label = Some(("batch", name.as_str()));
    let past = journal::samples(&context.state, METRIC, label, since)?;
    let newest: Vec<f64> = past.iter().rev().take(MOST).map(|one| one.value).collect();
    let median = median(newest);
    let worse = median.filter(|median| *median > 0.0).map(|median| {
        let higher = (value / median - 1.0) * 100.0;
        match settings.benchmark_better {
            Better::Higher => -higher,
            Better::Lower => higher,
        }
    });
    Ok(Figure {
        batch,
        value,
        median,
        worse_percent: worse,
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    (values.len() >= FEW).then(|| {
        let half = values.len() / 2;
        match values.len() % 2 {
            1 => values[half],
            _ => f64::midpoint(values[half - 1], values[half]),
        }
    })
}

fn judge(report: &Reporter, settings: &Gpu, figure: &Figure) {
    let name = label(figure.batch);
    report.measure(METRIC, figure.value, "", [("batch", name.as_str())]);
    let subject = match figure.batch {
        Some(batch) => format!("benchmark, batch {batch}"),
        None => "benchmark".to_owned(),
    };
    report.examined(SLOWER, &*subject);
    let (Some(worse), Some(median)) = (figure.worse_percent, figure.median) else {
        return;
    };
    if worse > settings.benchmark_margin_pct {
        report.find(
            Finding::new(
                SLOWER,
                Severity::Medium,
                subject,
                format!(
                    "{} is {worse:.1}% worse than the median of its past, {median} (limit {:.0}%)",
                    figure.value, settings.benchmark_margin_pct
                ),
            )
            .measured(worse, "%", settings.benchmark_margin_pct)
            .hint(
                "heat, throttling, other processes, a new driver? empire-maint history --task gpu",
            ),
        );
    }
}

fn table(settings: &Gpu, figures: &[Figure]) -> Table {
    let best = figures
        .iter()
        .map(|figure| figure.value)
        .reduce(match settings.benchmark_better {
            Better::Higher => f64::max,
            Better::Lower => f64::min,
        });
    let row = |figure: &Figure| {
        vec![
            Cell::Text(label(figure.batch)),
            Cell::Text(figure.value.to_string()),
            figure
                .median
                .map_or(Cell::Empty, |median| Cell::Text(median.to_string())),
            match Some(figure.value) == best && figures.len() > 1 {
                true => Cell::Text("best".to_owned()),
                false => Cell::Text(String::new()),
            },
        ]
    };
    Table {
        title: "Benchmark".to_owned(),
        columns: vec!["batch", "figure", "median before", ""],
        rows: figures.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_is_the_figure() {
        for (text, expected) in [
            ("throughput: 1234.5 images/s\n", 1234.5),
            ("1 2 3", 3.0),
            ("{\"tokens_per_s\":88,\"unit\":\"1/s\"}", 88.0),
            ("speed 1e3, done", 1000.0),
            ("4 devices at 87%", 87.0),
            ("4 devices, 12.5ms each", 12.5),
            ("fp16 on H100: -3.5µs.", -3.5),
            ("812 img/s, 8xH100, nan", 812.0),
            ("2 of 2: 1234img/s", 1234.0),
            ("version 1.2.3 at 5", 5.0),
        ] {
            assert_eq!(figure_in(text), Some(Ok(expected)), "{text}");
        }
        for text in ["NaN inf", "", "fp16 H100 x", ", ,"] {
            assert_eq!(figure_in(text), None, "{text}");
        }
    }

    #[test]
    fn commas_in_a_number_are_not_guessed_at() {
        for (text, word) in [
            ("throughput 1,234.5 img/s", "1,234.5"),
            ("12,5%", "12,5%"),
            ("5 [100,200]", "100,200"),
            ("a,b,1,2", "a,b,1,2"),
        ] {
            assert_eq!(figure_in(text), Some(Err(word)), "{text}");
        }
    }

    #[test]
    fn a_past_begins_with_five() {
        assert_eq!(median(vec![1.0, 2.0, 3.0, 4.0]), None);
        assert_eq!(median(vec![5.0, 1.0, 2.0, 4.0, 3.0]), Some(3.0));
        assert_eq!(median(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), Some(3.5));
    }
}
