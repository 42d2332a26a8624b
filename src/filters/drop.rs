//! `drop`: cancels events.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};

use crate::event::{Batch, Selection};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::{Build, Cx, Filter, Make, Options, PluginMetrics, PluginSpec};

options! {
    /// Options of the `drop` filter.
    pub struct Config {
        /// How many of the events that get here are dropped, in percent; each is decided by chance. At 100 or more all
        /// are dropped, at 0 or less none.
        percentage: f64 = 100;
    }
}

/// The entry of the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "drop",
    about: "Drops every event that gets here, so it belongs into a condition. A dropped event is counted as dealt with: \
            its line is not read again.",
    options: Config::specs,
    make: Make::Filter(make),
};

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Filter>> {
    let config = Config::read(plugin, build)?;
    Some(Box::new(Drop {
        share: config.percentage / 100.0,
    }))
}

struct Drop {
    /// Events dropped, of one.
    share: f64,
}

/// A small generator of random numbers (xorshift64*): chance that need not be secret.
struct Chance(u64);

impl Chance {
    /// A number from 0 up to, but not including, 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        f64::from(u32::try_from(bits).unwrap_or(u32::MAX)) / 4_294_967_296.0
    }
}

impl Filter for Drop {
    fn scratch(&self) -> Box<dyn Any + Send> {
        let seed = RandomState::new().hash_one(std::thread::current().id());
        Box::new(Chance(seed | 1))
    }

    fn run(&self, _: &mut Batch, sel: &mut Selection, cx: &mut Cx<'_>) {
        let before = sel.len();
        if self.share >= 1.0 {
            sel.clear();
        } else if self.share > 0.0
            && let Some(chance) = cx.scratch.downcast_mut::<Chance>()
        {
            let mut kept: Vec<_> = sel
                .ids()
                .iter()
                .copied()
                .filter(|_| chance.next() >= self.share)
                .collect();
            sel.swap(&mut kept);
        }
        PluginMetrics::add(&cx.metrics.matches, (before - sel.len()) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::plugin::Ecs;
    use crate::plugin::testing::run_filter;
    use serde_json::json;

    fn left(config: &str) -> usize {
        let events: Vec<_> = (0..2000).map(|at| json!({ "at": at })).collect();
        let run = run_filter(&SPEC, Ecs::V8, config, &events).unwrap();
        let order: Vec<_> = run
            .events
            .iter()
            .map(|event| event["at"].as_i64().unwrap())
            .collect();
        assert!(order.is_sorted());
        order.len()
    }

    #[test]
    fn all_some_or_none_are_dropped() {
        assert_eq!(left("drop { }"), 0);
        assert_eq!(left("drop { percentage => 100 }"), 0);
        assert_eq!(left("drop { percentage => 0 }"), 2000);
        let some = left("drop { percentage => '25' }");
        assert!((1350..1650).contains(&some), "{some} of 2000 are left");
    }

    #[test]
    fn the_percentage_is_a_number() {
        let error = run_filter(&SPEC, Ecs::V8, "drop { percentage => many }", &[])
            .err()
            .unwrap();
        assert!(error[0].message.contains("must be a number"), "{error:?}");
    }
}
