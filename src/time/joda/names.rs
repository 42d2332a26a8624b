//! Names of months, weekdays, halves of the day and eras, in the languages that date patterns may be read in.
//!
//! Each row holds every spelling that is accepted for one value, the long name first. A spelling with a final dot is also
//! accepted without it: runtimes of different ages abbreviate differently, and logs outlive them.

/// The names of one language.
#[derive(Debug)]
pub struct Names {
    /// Two-letter language code.
    pub language: &'static str,
    /// January to December.
    pub months: [&'static [&'static str]; 12],
    /// Monday to Sunday.
    pub weekdays: [&'static [&'static str]; 7],
    /// Before and after noon.
    pub halfdays: [&'static [&'static str]; 2],
    /// Before and since the year 1.
    pub eras: [&'static [&'static str]; 2],
}

impl Names {
    /// The names of a BCP 47 language tag or a Java locale name. The country counts for English alone (`en-GB` knows
    /// `Sept`); `de-AT` and `de_CH` are German.
    #[must_use]
    pub fn of_locale(locale: &str) -> Option<&'static Self> {
        let mut parts = locale.split(['-', '_', '.']);
        let language = parts.next().unwrap_or(locale);
        let names = LANGUAGES
            .iter()
            .copied()
            .find(|names| names.language.eq_ignore_ascii_case(language))?;
        let american = parts
            .next()
            .is_none_or(|country| country.len() != 2 || country.eq_ignore_ascii_case("US"));
        Some(if names.language == "en" && !american {
            &BRITISH
        } else {
            names
        })
    }
}

/// All languages, English first.
pub static LANGUAGES: [&Names; 7] = [
    &ENGLISH,
    &GERMAN,
    &FRENCH,
    &SPANISH,
    &ITALIAN,
    &PORTUGUESE,
    &DUTCH,
];

const AM_PM: [&[&str]; 2] = [&["AM", "a.m."], &["PM", "p.m."]];

const ENGLISH_MONTHS: [&[&str]; 12] = [
    &["January", "Jan."],
    &["February", "Feb."],
    &["March", "Mar."],
    &["April", "Apr."],
    &["May"],
    &["June", "Jun."],
    &["July", "Jul."],
    &["August", "Aug."],
    &["September", "Sep."],
    &["October", "Oct."],
    &["November", "Nov."],
    &["December", "Dec."],
];

const ENGLISH_WEEKDAYS: [&[&str]; 7] = [
    &["Monday", "Mon."],
    &["Tuesday", "Tue."],
    &["Wednesday", "Wed."],
    &["Thursday", "Thu."],
    &["Friday", "Fri."],
    &["Saturday", "Sat."],
    &["Sunday", "Sun."],
];

const ENGLISH_ERAS: [&[&str]; 2] = [&["BCE", "BC"], &["CE", "AD"]];

/// American English.
pub static ENGLISH: Names = Names {
    language: "en",
    months: ENGLISH_MONTHS,
    weekdays: ENGLISH_WEEKDAYS,
    halfdays: AM_PM,
    eras: ENGLISH_ERAS,
};

/// English of other countries, where September may be `Sept`.
static BRITISH: Names = Names {
    language: "en",
    months: {
        let mut months = ENGLISH_MONTHS;
        months[8] = &["September", "Sept.", "Sep."];
        months
    },
    weekdays: ENGLISH_WEEKDAYS,
    halfdays: AM_PM,
    eras: ENGLISH_ERAS,
};

static GERMAN: Names = Names {
    language: "de",
    months: [
        &["Januar", "Jänner", "Jan.", "Jän."],
        &["Februar", "Feb."],
        &["März", "Mär.", "Mrz."],
        &["April", "Apr."],
        &["Mai"],
        &["Juni", "Jun."],
        &["Juli", "Jul."],
        &["August", "Aug."],
        &["September", "Sept.", "Sep."],
        &["Oktober", "Okt."],
        &["November", "Nov."],
        &["Dezember", "Dez."],
    ],
    weekdays: [
        &["Montag", "Mo."],
        &["Dienstag", "Di."],
        &["Mittwoch", "Mi."],
        &["Donnerstag", "Do."],
        &["Freitag", "Fr."],
        &["Samstag", "Sa."],
        &["Sonntag", "So."],
    ],
    halfdays: [&["AM", "vorm."], &["PM", "nachm."]],
    eras: [&["v. Chr."], &["n. Chr."]],
};

static FRENCH: Names = Names {
    language: "fr",
    months: [
        &["janvier", "janv."],
        &["février", "févr."],
        &["mars"],
        &["avril", "avr."],
        &["mai"],
        &["juin"],
        &["juillet", "juill.", "juil."],
        &["août"],
        &["septembre", "sept."],
        &["octobre", "oct."],
        &["novembre", "nov."],
        &["décembre", "déc."],
    ],
    weekdays: [
        &["lundi", "lun."],
        &["mardi", "mar."],
        &["mercredi", "mer."],
        &["jeudi", "jeu."],
        &["vendredi", "ven."],
        &["samedi", "sam."],
        &["dimanche", "dim."],
    ],
    halfdays: AM_PM,
    eras: [&["av. J.-C."], &["ap. J.-C."]],
};

static SPANISH: Names = Names {
    language: "es",
    months: [
        &["enero", "ene."],
        &["febrero", "feb."],
        &["marzo", "mar."],
        &["abril", "abr."],
        &["mayo", "may."],
        &["junio", "jun."],
        &["julio", "jul."],
        &["agosto", "ago."],
        &["septiembre", "sept.", "sep."],
        &["octubre", "oct."],
        &["noviembre", "nov."],
        &["diciembre", "dic."],
    ],
    weekdays: [
        &["lunes", "lun."],
        &["martes", "mar."],
        &["miércoles", "mié."],
        &["jueves", "jue."],
        &["viernes", "vie."],
        &["sábado", "sáb."],
        &["domingo", "dom."],
    ],
    halfdays: [
        &["a.\u{a0}m.", "a. m.", "a.m.", "AM"],
        &["p.\u{a0}m.", "p. m.", "p.m.", "PM"],
    ],
    eras: [&["a. C."], &["d. C."]],
};

static ITALIAN: Names = Names {
    language: "it",
    months: [
        &["gennaio", "gen."],
        &["febbraio", "feb."],
        &["marzo", "mar."],
        &["aprile", "apr."],
        &["maggio", "mag."],
        &["giugno", "giu."],
        &["luglio", "lug."],
        &["agosto", "ago."],
        &["settembre", "set."],
        &["ottobre", "ott."],
        &["novembre", "nov."],
        &["dicembre", "dic."],
    ],
    weekdays: [
        &["lunedì", "lun."],
        &["martedì", "mar."],
        &["mercoledì", "mer."],
        &["giovedì", "gio."],
        &["venerdì", "ven."],
        &["sabato", "sab."],
        &["domenica", "dom."],
    ],
    halfdays: AM_PM,
    eras: [&["a.C."], &["d.C."]],
};

static PORTUGUESE: Names = Names {
    language: "pt",
    months: [
        &["janeiro", "jan."],
        &["fevereiro", "fev."],
        &["março", "mar."],
        &["abril", "abr."],
        &["maio", "mai."],
        &["junho", "jun."],
        &["julho", "jul."],
        &["agosto", "ago."],
        &["setembro", "set."],
        &["outubro", "out."],
        &["novembro", "nov."],
        &["dezembro", "dez."],
    ],
    weekdays: [
        &["segunda-feira", "segunda", "seg."],
        &["terça-feira", "terça", "ter."],
        &["quarta-feira", "quarta", "qua."],
        &["quinta-feira", "quinta", "qui."],
        &["sexta-feira", "sexta", "sex."],
        &["sábado", "sáb."],
        &["domingo", "dom."],
    ],
    halfdays: AM_PM,
    eras: [&["a.C."], &["d.C."]],
};

static DUTCH: Names = Names {
    language: "nl",
    months: [
        &["januari", "jan."],
        &["februari", "feb."],
        &["maart", "mrt."],
        &["april", "apr."],
        &["mei"],
        &["juni", "jun."],
        &["juli", "jul."],
        &["augustus", "aug."],
        &["september", "sep."],
        &["oktober", "okt."],
        &["november", "nov."],
        &["december", "dec."],
    ],
    weekdays: [
        &["maandag", "ma."],
        &["dinsdag", "di."],
        &["woensdag", "wo."],
        &["donderdag", "do."],
        &["vrijdag", "vr."],
        &["zaterdag", "za."],
        &["zondag", "zo."],
    ],
    halfdays: AM_PM,
    eras: [&["v.Chr."], &["n.Chr."]],
};

/// Finds the row with the longest spelling that a text begins with, whatever its case: the row's index and the bytes read.
/// A final dot counts only if `dotted`; otherwise it is left for what comes after the name.
pub(super) fn longest_name(text: &[u8], rows: &[&[&str]], dotted: bool) -> Option<(usize, usize)> {
    let mut best: Option<(usize, usize)> = None;
    for (row, spellings) in rows.iter().enumerate() {
        for name in *spellings {
            let undotted = name.strip_suffix('.').unwrap_or(name);
            let Some(mut len) = starts_with_ignoring_case(text, undotted) else {
                continue;
            };
            if dotted && undotted.len() < name.len() && text.get(len) == Some(&b'.') {
                len += 1;
            }
            if best.is_none_or(|(_, longest)| len > longest) {
                best = Some((row, len));
            }
        }
    }
    best
}

/// The bytes that a prefix takes up at the start of a text when case does not count.
pub(super) fn starts_with_ignoring_case(text: &[u8], prefix: &str) -> Option<usize> {
    let mut at = 0;
    for wanted in prefix.chars() {
        if wanted.is_ascii() {
            let found = char::from(*text.get(at)?);
            if !found.eq_ignore_ascii_case(&wanted) {
                return None;
            }
            at += 1;
        } else {
            let found = first_char(text.get(at..)?)?;
            if found != wanted && !found.to_lowercase().eq(wanted.to_lowercase()) {
                return None;
            }
            at += found.len_utf8();
        }
    }
    Some(at)
}

fn first_char(text: &[u8]) -> Option<char> {
    let len = match text.first()? {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    std::str::from_utf8(text.get(..len)?).ok()?.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_spelling_wins() {
        assert_eq!(
            longest_name(b"january 2", &ENGLISH.months, true),
            Some((0, 7))
        );
        assert_eq!(longest_name(b"Jan 2", &ENGLISH.months, true), Some((0, 3)));
        assert_eq!(longest_name(b"JAN. 2", &ENGLISH.months, true), Some((0, 4)));
        assert_eq!(longest_name(b"Mayday", &ENGLISH.months, true), Some((4, 3)));
        assert_eq!(longest_name(b"Ja", &ENGLISH.months, true), None);
        assert_eq!(longest_name(b"", &ENGLISH.months, true), None);
        assert_eq!(
            longest_name("MÄRZ".as_bytes(), &GERMAN.months, true),
            Some((2, 5))
        );
        assert_eq!(longest_name(b"M\xc3", &GERMAN.months, true), None);
        assert_eq!(
            longest_name("août".as_bytes(), &FRENCH.months, true),
            Some((7, 5))
        );
        assert_eq!(longest_name(b"mar. ", &SPANISH.months, true), Some((2, 4)));
    }

    #[test]
    fn locales() {
        assert_eq!(
            Names::of_locale("en").map(|names| names.language),
            Some("en")
        );
        assert_eq!(
            Names::of_locale("de-AT").map(|names| names.language),
            Some("de")
        );
        assert_eq!(
            Names::of_locale("pt_BR.UTF-8").map(|names| names.language),
            Some("pt")
        );
        assert!(Names::of_locale("tlh").is_none());
        let september = |locale: &str| {
            let names = Names::of_locale(locale).expect("known");
            longest_name(b"Sept 5", &names.months, true)
        };
        assert_eq!(september("en"), Some((8, 3)));
        assert_eq!(september("en_US"), Some((8, 3)));
        assert_eq!(september("en-GB"), Some((8, 4)));
    }

    #[test]
    fn no_spelling_means_two_things() {
        for names in LANGUAGES.into_iter().chain([&BRITISH]) {
            for rows in [
                &names.months[..],
                &names.weekdays[..],
                &names.halfdays[..],
                &names.eras[..],
            ] {
                for (row, spellings) in rows.iter().enumerate() {
                    for spelling in *spellings {
                        let found = longest_name(spelling.as_bytes(), rows, true);
                        assert_eq!(
                            found,
                            Some((row, spelling.len())),
                            "{spelling} in {}",
                            names.language
                        );
                    }
                }
            }
        }
    }
}
