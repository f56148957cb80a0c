//! The library's messages name settings and what its functions are given; the program's user has flags for them.

use crate::Error;

/// Keys of [`Error::Config`] that are no keys of a configuration, and their flags.
const KEYS: [(&str, &str); 11] = [
    ("arrivals", "--arrivals"),
    ("assignment", "--set"),
    ("cells' data", "--data"),
    ("per_task", "--per-task"),
    ("run", "--run"),
    ("samples", "--samples"),
    ("scale", "--scale"),
    ("tasks and meta_steps", "--tasks and --meta-steps"),
    ("threshold", "--threshold"),
    ("warm_start", "--warm-start"),
    ("classes", "--way"),
];

/// Remedies, and the flags for them.
const REMEDIES: [(&str, &str); 11] = [
    ("give another folder", "give another --out"),
    ("resume it, or", "use --resume to go on with it, or"),
    ("begin one instead of resuming it", "begin one without --resume"),
    ("leave the list of episodes out", "leave --episodes out"),
    ("name other places in tasks.data", "name other places by --data DIR (tasks.data)"),
    ("in tasks.data, or", "by --data DIR (tasks.data), or"),
    ("lower the minibatch (eval.batch)", "lower --batch (eval.batch)"),
    ("in the configuration of another data set", "in a configuration for `reptile eval --on`"),
    ("go on all the same with what is there", "go on all the same with --changed-data"),
    ("wait longer if so long", "raise --timeout if so long"),
    ("is good: go on from ", "is good: go on with --resume --checkpoint "),
];

/// `error` with flags in the place of what the library calls them.
pub(super) fn with_flags(error: anyhow::Error) -> anyhow::Error {
    if !error.chain().any(|cause| cause.is::<Error>()) {
        return error;
    }
    let said = format!("{error:#}");
    let keys = KEYS.map(|(key, flag)| (format!("`{key}`: "), format!("`{flag}`: ")));
    let remedies = REMEDIES.map(|(remedy, flag)| (remedy.to_owned(), flag.to_owned()));
    let mut words = said.clone();
    for (from, to) in keys.into_iter().chain(remedies) {
        words = words.replace(&from, &to);
    }
    if words == said { error } else { anyhow::anyhow!(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_take_the_place_of_the_librarys_words() {
        let said = |error: anyhow::Error| format!("{:#}", with_flags(error));
        let scale = Error::config("scale", "-1 is not possible; give a number above 0");
        assert_eq!(said(scale.into()), "`--scale`: -1 is not possible; give a number above 0");
        let folder = Error::data("runs/a", "is a file, not a folder; give another folder");
        assert_eq!(said(folder.into()), "runs/a: is a file, not a folder; give another --out");
        // Configurations have such words, and other errors are left alone.
        let key = Error::config("model.scale", "`run` is no number");
        assert_eq!(said(key.into()), "`model.scale`: `run` is no number");
        assert_eq!(said(anyhow::anyhow!("`run`: wrong")), "`run`: wrong");
    }

    /// A remedy that the library words in another way is not found any more.
    #[test]
    fn the_library_says_what_is_replaced() {
        let library = include_str!("../store/directory.rs").to_owned()
            + include_str!("../store/checkpoint/file.rs")
            + include_str!("../data/data_folder.rs")
            + include_str!("../data/stored_split.rs")
            + include_str!("../cluster/mpi.rs")
            + include_str!("../config/job.rs")
            + include_str!("../config/validate/tasks.rs")
            + include_str!("../meta/evaluation.rs")
            + include_str!("../tasks/images.rs")
            + include_str!("../experiments/sweep/prepared.rs");
        // Words may be cut by the end of a line of the source.
        let words =
            |text: &str| text.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ");
        for (remedy, _) in REMEDIES {
            assert!(words(&library).contains(remedy.trim()), "{remedy}");
        }
    }
}
