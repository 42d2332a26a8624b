//! A plan as text: what runs for the events of each input, secrets left out.

use std::fmt::Write as _;

use super::{Plan, Step};

/// Prints inputs, and for each the steps that its events take.
pub(super) fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    for input in &plan.inputs {
        let _ = writeln!(out, "input {} ({})", input.id, input.name);
        steps(plan, &input.program.filters, 1, false, &mut out);
        steps(plan, &input.program.outputs, 1, true, &mut out);
    }
    out
}

fn steps(plan: &Plan, steps_: &[Step], depth: usize, outputs: bool, out: &mut String) {
    let indent = "  ".repeat(depth);
    for step in steps_ {
        match step {
            Step::Plugin(at) if outputs => {
                let node = &plan.outputs[*at];
                let _ = writeln!(out, "{indent}→ {} ({})", node.id, node.name);
            }
            Step::Plugin(at) => {
                let node = &plan.filters[*at];
                let _ = writeln!(out, "{indent}{} ({})", node.id, node.name);
            }
            Step::Branch { arms, otherwise } => {
                for (number, (test, inner)) in arms.iter().enumerate() {
                    let word = if number == 0 { "if" } else { "else if" };
                    let _ = writeln!(out, "{indent}{word} {}", plan.tests[*test].text);
                    steps(plan, inner, depth + 1, outputs, out);
                }
                if !otherwise.is_empty() {
                    let _ = writeln!(out, "{indent}else");
                    steps(plan, otherwise, depth + 1, outputs, out);
                }
            }
        }
    }
}
