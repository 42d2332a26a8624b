//! How cost grows: probes that change one thing at a time, as a table and as a plot.

use std::fmt::Write as _;

use serde::Serialize;

use super::configs;
use super::measure::{Options, run};
use super::patterns;
use super::progress::Progress;
use super::scenario::Shape;
use super::signals::Signals;
use super::{Kind, Target};

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Fields of a JSON event.
    Fields,
    /// Bytes of one text in a JSON event.
    Bytes,
    /// Conditions that are asked for each event, and are false.
    Conditions,
    /// Patterns of a grok list, of which the last matches.
    Alternatives,
    /// Outputs that get each event.
    Outputs,
    /// Lines of config: filters that look and find nothing to do.
    Lines,
}

impl Probe {
    /// All of them.
    pub const ALL: [Probe; 6] = [
        Probe::Fields,
        Probe::Bytes,
        Probe::Conditions,
        Probe::Alternatives,
        Probe::Outputs,
        Probe::Lines,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Probe::Fields => "fields",
            Probe::Bytes => "bytes",
            Probe::Conditions => "conditions",
            Probe::Alternatives => "alternatives",
            Probe::Outputs => "outputs",
            Probe::Lines => "config-lines",
        }
    }

    /// The numbers that are tried.
    #[must_use]
    pub fn steps(self) -> &'static [u64] {
        match self {
            Probe::Fields => &[10, 50, 200, 1000, 2000],
            Probe::Bytes => &[100, 1000, 10_000, 100_000],
            Probe::Conditions => &[0, 10, 50, 200],
            Probe::Alternatives => &[1, 10, 52, 200],
            Probe::Outputs => &[1, 2, 4],
            Probe::Lines => &[10, 100, 1000],
        }
    }

    /// Events of a step: fewer where each is large.
    fn events(self, step: u64, all: u64) -> u64 {
        let weight = match self {
            Probe::Fields => step / 10,
            Probe::Bytes => step / 300,
            Probe::Lines | Probe::Conditions => step / 50,
            Probe::Alternatives | Probe::Outputs => 1,
        };
        (all / weight.max(1)).max(1000)
    }

    fn kind(self, step: u64) -> Kind {
        let name = format!("{} {step}", self.name());
        let small = r#"{"a":"some text of a size","b":17,"component":"api"}"#;
        let probe = |line: Option<String>, shape, codec, filters: String, outputs| Kind::Probe {
            name: name.clone(),
            shape,
            line,
            codec,
            filters,
            outputs,
        };
        let json = "json { keep_original => false }";
        match self {
            Probe::Fields => {
                let fields: Vec<String> = (0..step)
                    .map(|number| format!("\"field_{number}\":\"value {number}\""))
                    .collect();
                let line = format!("{{{}}}", fields.join(","));
                probe(Some(line), Shape::Json, json, String::new(), 1)
            }
            Probe::Bytes => {
                let text = "some words of a text ".repeat(step as usize / 21 + 1);
                let line = format!(
                    "{{\"a\":\"{}\"}}",
                    text.get(..step as usize).unwrap_or_default()
                );
                probe(Some(line), Shape::Json, json, String::new(), 1)
            }
            Probe::Conditions => {
                let filters = (0..step)
                    .map(|number| format!("  if [component] == \"other-{number}\" {{ mutate {{ add_tag => [ \"t{number}\" ] }} }}\n"))
                    .collect();
                probe(Some(small.to_owned()), Shape::Json, json, filters, 1)
            }
            Probe::Alternatives => {
                let others = patterns::ACCESS
                    .iter()
                    .filter(|pattern| !pattern.contains("IPORHOST"));
                let numbered: Vec<String> = others
                    .cycle()
                    .take(usize::try_from(step.saturating_sub(1)).unwrap_or(0))
                    .enumerate()
                    .map(|(number, pattern)| pattern.replacen('^', &format!("^P{number} "), 1))
                    .collect();
                let list: Vec<&str> = numbered
                    .iter()
                    .map(String::as_str)
                    .chain([patterns::ACCESS[50]])
                    .collect();
                let filters = configs::access(&list);
                probe(
                    None,
                    Shape::Access,
                    "plain { keep_original => false }",
                    filters,
                    1,
                )
            }
            Probe::Outputs => probe(
                Some(small.to_owned()),
                Shape::Json,
                json,
                String::new(),
                step,
            ),
            Probe::Lines => {
                let filters = (0..step)
                    .map(|number| format!("  mutate {{ rename => {{ \"absent_{number}\" => \"other_{number}\" }} }}\n"))
                    .collect();
                probe(Some(small.to_owned()), Shape::Json, json, filters, 1)
            }
        }
    }
}

/// One point of a curve.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// What was changed.
    pub probe: &'static str,
    /// To what.
    pub step: u64,
    /// CPU time of the shipper, µs per event.
    pub shipper_cpu_us_per_event: f64,
    /// CPU time of shipper and sink, µs per event.
    pub total_cpu_us_per_event: f64,
    /// What one unit costs the shipper, ns: the rise from the first step, divided by the difference.
    pub ns_per_unit: Option<f64>,
    /// Allocations per event.
    pub allocations_per_event: Option<f64>,
}

/// Measures all steps of some probes, each with about so many events.
///
/// # Errors
/// A sentence, as [`run`] has them.
pub fn measure(
    probes: &[Probe],
    events: u64,
    workers: u64,
    runs: u64,
    signals: &Signals,
    progress: &mut Progress,
) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    for probe in probes {
        let mut first: Option<(u64, f64)> = None;
        for &step in probe.steps() {
            let options = Options {
                kind: probe.kind(step),
                events: probe.events(step, events),
                seconds: None,
                rate: None,
                workers,
                runs,
                hostile: 0,
                ids: false,
                target: None::<Target>,
            };
            let report = run(&options, signals, progress)?;
            if !report.median.is_good() {
                return Err(format!("{}: not every event arrived", report.scenario));
            }
            let cost = report.median.shipper_cpu_us_per_event;
            let (first_step, first_cost) = *first.get_or_insert((step, cost));
            points.push(Point {
                probe: probe.name(),
                step,
                shipper_cpu_us_per_event: cost,
                total_cpu_us_per_event: report.median.total_cpu_us_per_event,
                ns_per_unit: (step > first_step)
                    .then(|| (cost - first_cost) * 1000.0 / (step - first_step) as f64),
                allocations_per_event: report.median.allocations_per_event,
            });
        }
    }
    Ok(points)
}

/// The points as a table.
#[must_use]
pub fn table(points: &[Point]) -> String {
    let mut out = format!(
        "{:<14} {:>8} {:>12} {:>12} {:>12} {:>12}\n",
        "probe", "step", "shipper µs", "with sink µs", "ns per unit", "allocations"
    );
    for point in points {
        let or_none = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:<14} {:>8} {:>12.2} {:>12.2} {:>12} {:>12}",
            point.probe,
            point.step,
            point.shipper_cpu_us_per_event,
            point.total_cpu_us_per_event,
            or_none(point.ns_per_unit, 1),
            or_none(point.allocations_per_event, 4),
        );
    }
    out
}

/// Width and height of one curve's picture.
const PICTURE: (f64, f64) = (360.0, 240.0);
/// Room around a curve for its numbers.
const MARGIN: f64 = 44.0;

/// The points as curves, a picture for each probe; both axes begin at zero, so that a straight line is a linear cost.
#[must_use]
pub fn svg(points: &[Point]) -> String {
    let mut probes: Vec<&str> = points.iter().map(|point| point.probe).collect();
    probes.dedup();
    let (width, height) = PICTURE;
    let rows = probes.len().div_ceil(2).max(1);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        width * 2.0,
        height * rows as f64
    );
    for (number, probe) in probes.iter().enumerate() {
        let curve: Vec<&Point> = points
            .iter()
            .filter(|point| point.probe == *probe)
            .collect();
        let (left, top) = ((number % 2) as f64 * width, (number / 2) as f64 * height);
        out.push_str(&format!("<g transform=\"translate({left},{top})\">\n"));
        out.push_str(&picture(probe, &curve));
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn picture(name: &str, curve: &[&Point]) -> String {
    let (width, height) = PICTURE;
    let largest =
        |pick: fn(&Point) -> f64| curve.iter().map(|point| pick(point)).fold(1e-9, f64::max);
    let (most_x, most_y) = (
        largest(|point| point.step as f64),
        largest(|point| point.shipper_cpu_us_per_event),
    );
    let x = |step: f64| MARGIN + step / most_x * (width - 1.5 * MARGIN);
    let y = |cost: f64| height - MARGIN - cost / most_y * (height - 2.0 * MARGIN);
    let (x0, y0, x1, y1) = (x(0.0), y(0.0), x(most_x), y(most_y));
    let mut out = format!(
        "<text x=\"{x0:.1}\" y=\"20\" font-size=\"13\">{name}: shipper, µs of CPU per event</text>\n\
         <path d=\"M{x0:.1} {y1:.1}V{y0:.1}H{x1:.1}\" fill=\"none\" stroke=\"#888\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{most_y:.2}</text>\n",
        x0 - 4.0,
        y1 + 4.0,
    );
    let line: Vec<String> = curve
        .iter()
        .map(|point| {
            let (x, y) = (x(point.step as f64), y(point.shipper_cpu_us_per_event));
            format!("{x:.1},{y:.1}")
        })
        .collect();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for point in curve {
        let (x, y) = (x(point.step as f64), y(point.shipper_cpu_us_per_event));
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#06c\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            y0 + 16.0,
            point.step
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_load_and_lists_have_their_length() {
        for probe in Probe::ALL {
            for &step in probe.steps() {
                let Kind::Probe {
                    line,
                    filters,
                    outputs,
                    ..
                } = probe.kind(step)
                else {
                    panic!("{probe:?}");
                };
                let step = step as usize;
                match probe {
                    Probe::Fields => {
                        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
                        assert_eq!(line.as_object().unwrap().len(), step);
                    }
                    Probe::Bytes => assert_eq!(line.unwrap().len(), step + 8),
                    Probe::Conditions => assert_eq!(filters.matches("if [").count(), step),
                    Probe::Alternatives => {
                        let patterns = filters.lines().filter(|line| line.contains('^'));
                        assert_eq!(patterns.count(), step);
                    }
                    Probe::Outputs => assert_eq!(outputs as usize, step),
                    Probe::Lines => assert_eq!(filters.lines().count(), step),
                }
                assert!(probe.events(step as u64, 500_000) >= 1000);
            }
        }
    }

    #[test]
    fn points_become_a_table_and_a_picture() {
        let point = |step, cost| Point {
            probe: "fields",
            step,
            shipper_cpu_us_per_event: cost,
            total_cpu_us_per_event: cost + 1.0,
            ns_per_unit: None,
            allocations_per_event: Some(0.0),
        };
        let points = [point(10, 1.0), point(20, 2.0)];
        assert_eq!(table(&points).lines().count(), 3);
        let picture = svg(&points);
        assert_eq!(picture.matches("<circle").count(), 2);
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
    }
}
