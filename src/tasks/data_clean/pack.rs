//! A file of archived rows: gzip members one after another, each a few thousand lines of JSON. `zcat` reads it, and so does `jq`.
//! While rows move it is called `….pending`, while they come back `….restoring`: then the database says which rows are where,
//! together with `….moves` beside it. Once the final name is there, what is left of the others means nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{damaged, refused};
use crate::report::Permit;
use crate::sys::process::shell_word;
use crate::sys::{files, space};

const END: &str = ".jsonl.gz";
const PENDING: &str = ".pending";
const RESTORING: &str = ".restoring";
const MOVES: &str = ".moves";
const PART: &str = ".part";
const MOVES_PART: &str = ".moves.part";

/// In which state a file of a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds exactly the rows that are archived.
    Final,
    /// Rows that the database still has are not archived.
    Pending,
    /// Rows that the database has again are not archived any more.
    Restoring,
}

/// Which table the rows of a file are of. It stands, as JSON, in the comment of each gzip header.
#[derive(Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The name of the database.
    pub database: String,
    /// The table.
    pub table: String,
}

impl Origin {
    fn same(&self, other: &Self) -> bool {
        self.database == other.database && self.table.eq_ignore_ascii_case(&other.table)
    }
}

/// A file of archived rows.
#[derive(Clone, Debug)]
pub struct Pack {
    /// Its final name.
    pub path: PathBuf,
    /// In which state it is.
    pub state: State,
}

impl Pack {
    /// The name that it has now.
    pub fn now(&self) -> PathBuf {
        match self.state {
            State::Final => self.path.clone(),
            State::Pending => files::with_suffix(&self.path, PENDING),
            State::Restoring => files::with_suffix(&self.path, RESTORING),
        }
    }

    /// A name that no file of the rule has.
    pub fn free(folder: &Path, rule: &str, now: Timestamp) -> anyhow::Result<Self> {
        let taken = Self::list(folder, rule)?;
        let time = now.strftime("%Y%m%dT%H%M%SZ");
        let mut number = 1;
        loop {
            let more = if number == 1 {
                String::new()
            } else {
                format!("-{number}")
            };
            let path = folder.join(format!("{rule}_{time}{more}{END}"));
            if !taken.iter().any(|pack| pack.path == path) {
                let state = State::Pending;
                return Ok(Self { path, state });
            }
            number += 1;
        }
    }

    /// Where is noted which of its lines are about to move.
    pub fn moves(&self) -> PathBuf {
        files::with_suffix(&self.path, MOVES)
    }

    /// All files of a rule, oldest first.
    pub fn list(folder: &Path, rule: &str) -> anyhow::Result<Vec<Self>> {
        let found = named(folder, rule)?;
        let finals: BTreeSet<_> = found
            .iter()
            .filter(|one| one.state == Some(State::Final))
            .map(|one| one.path.clone())
            .collect();
        Ok(found
            .into_iter()
            .filter_map(|one| Some((one.path, one.state?)))
            .filter(|(path, state)| *state == State::Final || !finals.contains(path))
            .map(|(path, state)| Self { path, state })
            .collect())
    }

    /// The names in a folder of files that are of none of these rules, and how many files have each.
    pub fn of_no_rule(folder: &Path, rules: &[String]) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut found = BTreeMap::new();
        for one in all_named(folder)? {
            if one.state.is_some() && !rules.contains(&one.rule) {
                *found.entry(one.rule).or_default() += 1;
            }
        }
        Ok(found)
    }

    /// What a run that was killed between two steps left over.
    pub fn leftovers(folder: &Path, rule: &str) -> anyhow::Result<Vec<PathBuf>> {
        let packs = Self::list(folder, rule)?;
        let means_something = |one: &PathBuf| {
            packs.iter().any(|pack| {
                *one == pack.now() || (pack.state != State::Final && *one == pack.moves())
            })
        };
        let found = named(folder, rule)?.into_iter().map(|one| one.name);
        Ok(found.filter(|one| !means_something(one)).collect())
    }

    /// Which table its rows are of; `None` where it does not say.
    fn origin(&self) -> anyhow::Result<Option<Origin>> {
        let file = BufReader::new(files::open_regular(&self.now())?);
        let decoder = GzDecoder::new(file);
        let comment = decoder.header().and_then(|header| header.comment());
        Ok(comment.and_then(|comment| serde_json::from_slice(comment).ok()))
    }

    /// Refuses rows of another table: they would fit wherever the columns have the same names.
    pub fn require_of(&self, wanted: &Origin) -> anyhow::Result<()> {
        let Some(origin) = self.origin()?.filter(|origin| !origin.same(wanted)) else {
            return Ok(());
        };
        let now = self.now();
        let path = shell_word(&now.to_string_lossy());
        Err(refused(format!(
            "{} holds rows of {} of {}, not of {} of {}: let the rule name that table again, or take the file away; where the table has \
only got another name, let the file forget the old one",
            now.display(),
            origin.table,
            origin.database,
            wanted.table,
            wanted.database
        ))
        .hint(format!(
            "zcat <{path} | gzip >{path}.new && mv {path}.new {path}"
        ))
        .into())
    }

    /// Renames it into another state, durably.
    pub fn turn(self, permit: &Permit, state: State) -> anyhow::Result<Self> {
        let next = Self {
            path: self.path.clone(),
            state,
        };
        files::rename_new(permit, &self.now(), &next.now())?;
        files::sync_directory(files::parent(&self.path))?;
        Ok(next)
    }

    /// Gives it its final name: every line of it is archived.
    pub fn complete(self, permit: &Permit) -> anyhow::Result<()> {
        let moves = self.moves();
        self.turn(permit, State::Final)?;
        files::remove(permit, &moves)?;
        files::sync_directory(files::parent(&moves))
    }

    /// The same, without the lines that are not wanted; without any it is removed. Where they are all at the end it is cut there,
    /// which needs no space; else it is written anew, as far as that leaves the reserve.
    pub fn settle(
        self,
        permit: &Permit,
        reserve: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> anyhow::Result<()> {
        let now = self.now();
        let wanted_part = self.wanted_part(&wanted)?;
        match wanted_part {
            Part::Start(0) => files::remove(permit, &now)?,
            Part::Start(bytes) => {
                files::cut(permit, &now, bytes)?;
                return self.complete(permit);
            }
            Part::Scattered => {
                self.keep(permit, reserve, wanted)?;
                files::remove(permit, &now)?;
            }
        }
        files::remove(permit, &self.moves())?;
        files::sync_directory(files::parent(&now))
    }

    fn wanted_part(&self, wanted: impl Fn(u64) -> bool) -> anyhow::Result<Part> {
        let (mut at, mut end) = (0, 0);
        let (mut hole, mut scattered) = (false, false);
        self.members(|text, end_of_member| {
            let next = at + text.lines().count() as u64;
            let all = (at..next).all(&wanted);
            hole |= !all;
            if all || (at..next).any(&wanted) {
                end = end_of_member;
                scattered |= hole;
            }
            at = next;
            Ok(())
        })?;
        Ok(match scattered {
            true => Part::Scattered,
            false => Part::Start(end),
        })
    }

    /// The lines that are wanted, under the final name, in one step. The numbers of lines mean something else afterwards.
    fn keep(
        &self,
        permit: &Permit,
        reserve: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> anyhow::Result<()> {
        let part = files::with_suffix(&self.path, PART);
        files::remove(permit, &part)?; // of a run that was killed here
        self.copy(permit, &part, reserve, wanted)
            .inspect_err(|_| files::forget(&part))?; // a disk that is full gets its space back
        files::rename_new(permit, &part, &self.path)?;
        files::sync_directory(files::parent(&self.path))
    }

    fn copy(
        &self,
        permit: &Permit,
        part: &Path,
        reserve: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> anyhow::Result<()> {
        let mut writer = Writer::create(permit, part, self.origin()?, reserve)?;
        let mut at = 0;
        self.read(|text| {
            let mut rest = String::new();
            for line in text.split_inclusive('\n') {
                if wanted(at) {
                    rest.push_str(line);
                }
                at += 1;
            }
            match rest.as_str() {
                "" => Ok(()),
                rest => writer.append(rest),
            }
        })?;
        Ok(())
    }

    /// Goes through the members. What a killed run left unfinished at the end was never relied on and is skipped: true says so.
    /// Damage anywhere else is an error, for the rows behind it would be lost.
    pub fn read(&self, mut each: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<bool> {
        self.members(|text, _| each(text))
    }

    /// The same, and says where in the file each member ends.
    fn members(
        &self,
        mut each: impl FnMut(&str, u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        let path = self.now();
        let shown = path.display();
        let mut reader = BufReader::with_capacity(1 << 16, files::open_regular(&path)?);
        let broken = |what: String| {
            let message = format!(
                "{shown} is damaged: {what}; keep the file, and look for what it held in the backups of that night"
            );
            anyhow::Error::from(damaged(message).hint("empire-maint backup list"))
        };
        while !reader
            .fill_buf()
            .with_context(|| format!("cannot read {shown}"))?
            .is_empty()
        {
            let mut text = String::new();
            match GzDecoder::new(&mut reader).read_to_string(&mut text) {
                Ok(_) => each(&text, reader.stream_position()?)?,
                Err(_) if self.state != State::Pending => {
                    return Err(broken("it ends too early or does not inflate".into()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(true),
                Err(error) => {
                    let mut rest = Vec::new();
                    reader.read_to_end(&mut rest)?;
                    // A power cut leaves zeros where data was not written yet.
                    if rest.iter().all(|byte| *byte == 0) {
                        return Ok(true);
                    }
                    return Err(broken(error.to_string()));
                }
            }
        }
        Ok(false)
    }
}

/// What of a file is wanted.
enum Part {
    /// So many bytes, and nothing behind them.
    Start(u64),
    /// What is not wanted stands between what is.
    Scattered,
}

/// A file of a rule.
struct Named {
    rule: String,
    name: PathBuf,
    /// The final name of the pack that it belongs to.
    path: PathBuf,
    /// `None`: it is no pack.
    state: Option<State>,
}

fn named(folder: &Path, rule: &str) -> anyhow::Result<Vec<Named>> {
    let mut found = all_named(folder)?;
    found.retain(|one| one.rule == rule);
    Ok(found)
}

fn all_named(folder: &Path) -> anyhow::Result<Vec<Named>> {
    let mut found = Vec::new();
    for entry in files::list(folder)? {
        let name = entry.file_name();
        let Some(whole) = name.to_str() else { continue };
        let known = [
            (PENDING, Some(State::Pending)),
            (RESTORING, Some(State::Restoring)),
            (MOVES_PART, None),
            (MOVES, None),
            (PART, None),
        ];
        let (name, state) = known
            .into_iter()
            .find_map(|(end, state)| Some((whole.strip_suffix(end)?, state)))
            .unwrap_or((whole, Some(State::Final)));
        let parts = name
            .strip_suffix(END)
            .and_then(|rest| rest.rsplit_once('_'));
        if let Some((rule, _)) = parts.filter(|(_, time)| is_time(time)) {
            found.push(Named {
                rule: rule.to_owned(),
                name: folder.join(whole),
                path: folder.join(name),
                state,
            });
        }
    }
    Ok(found)
}

fn is_time(text: &str) -> bool {
    let (time, number) = text.split_at_checked(16).unwrap_or((text, ""));
    let number = number.strip_prefix('-').unwrap_or(number);
    let fits = |(at, byte): (usize, u8)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    time.len() == 16
        && time.bytes().enumerate().all(fits)
        && number.bytes().all(|b| b.is_ascii_digit())
}

/// Appends members, each on the disk and read back before it is relied on.
pub struct Writer {
    path: PathBuf,
    file: File,
    end: u64,
    origin: Option<Origin>,
    reserve: u64,
}

impl Writer {
    /// A new file, whose name is durable. It leaves so much free on its disk, which is often that of the database.
    pub fn create(
        permit: &Permit,
        path: &Path,
        origin: Option<Origin>,
        reserve: u64,
    ) -> anyhow::Result<Self> {
        let file = files::create_new(permit, path)?;
        files::sync_directory(files::parent(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            end: 0,
            origin,
            reserve,
        })
    }

    /// Takes off the disk what was written of a member that did not get whole.
    pub fn cut(&mut self) -> anyhow::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        files::sync(&self.file, &self.path)
    }

    /// Writes a member, syncs it, reads it back and compares.
    pub fn append(&mut self, text: &str) -> anyhow::Result<()> {
        let shown = self.path.display().to_string();
        let mut header = GzBuilder::new();
        if let Some(origin) = &self.origin {
            header = header.comment(serde_json::to_vec(origin)?);
        }
        let mut encoder = header.write(Vec::new(), Compression::new(6));
        encoder.write_all(text.as_bytes())?;
        let packed = encoder.finish()?;
        space::require(
            files::parent(&self.path),
            self.reserve.saturating_add(packed.len() as u64),
            "archived rows and the reserve",
        )?;
        self.file
            .write_all(&packed)
            .with_context(|| format!("cannot write {shown}"))?;
        files::sync(&self.file, &self.path)?;
        files::drop_cache(&self.file);
        let mut stored = vec![0; packed.len()];
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file
            .read_exact(&mut stored)
            .with_context(|| format!("cannot read {shown} back"))?;
        let mut back = String::new();
        GzDecoder::new(stored.as_slice())
            .read_to_string(&mut back)
            .with_context(|| format!("cannot read {shown} back"))?;
        if back != text {
            return Err(
                damaged(format!("{shown} does not hold what was written to it"))
                    .hint("check the disk")
                    .into(),
            );
        }
        self.end += packed.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::moves::{Known, Moves};
    use super::*;

    fn pack(folder: &Path, state: State) -> Pack {
        Pack {
            path: folder.join("r_20261109T041300Z.jsonl.gz"),
            state,
        }
    }

    fn lines(pack: &Pack) -> anyhow::Result<(Vec<String>, bool)> {
        let mut found = Vec::new();
        let torn = pack.read(|text| {
            found.extend(text.lines().map(str::to_owned));
            Ok(())
        })?;
        Ok((found, torn))
    }

    #[test]
    fn a_torn_end_is_skipped_and_other_damage_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let permit = Permit::for_tests();
        let pack = pack(folder.path(), State::Pending);
        let mut writer = Writer::create(&permit, &pack.now(), None, 0).expect("creates");
        writer.append("1\n2\n").expect("writes");
        let first = std::fs::metadata(pack.now()).expect("is there").len() as usize;
        writer.append("3\n4\n").expect("writes");
        let whole = std::fs::read(pack.now()).expect("reads");
        assert_eq!(
            lines(&pack).expect("reads"),
            (["1", "2", "3", "4"].map(str::to_owned).to_vec(), false)
        );
        for end in first + 1..whole.len() {
            std::fs::write(pack.now(), &whole[..end]).expect("writes");
            let (found, torn) = lines(&pack).expect("the first is whole");
            assert_eq!((found.len(), torn), (2, true), "cut at {end}");
        }
        let mut zeros = whole[..first].to_vec();
        zeros.extend([0; 4096]);
        std::fs::write(pack.now(), &zeros).expect("writes");
        assert!(lines(&pack).expect("the first is whole").1);
        let mut rotten = whole.clone();
        rotten[first - 6] ^= 1; // the checksum of the first
        std::fs::write(pack.now(), &rotten).expect("writes");
        assert!(lines(&pack).is_err());
        // What is final is whole, or damaged.
        std::fs::write(&pack.path, &whole[..whole.len() - 1]).expect("writes");
        assert!(lines(&super::tests::pack(folder.path(), State::Final)).is_err());
    }

    #[test]
    fn an_end_is_cut_without_a_copy_and_a_copy_leaves_the_reserve() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let permit = Permit::for_tests();
        let pack = |state| super::tests::pack(folder.path(), state);
        let pending = pack(State::Pending);
        let mut writer = Writer::create(&permit, &pending.now(), None, 0).expect("creates");
        writer.append("1\n2\n").expect("writes");
        writer.append("3\n4\n").expect("writes");
        let whole = std::fs::metadata(pending.now()).expect("is there");
        writer.file.write_all(b"torn").expect("writes");
        writer.cut().expect("cuts");
        let cut = std::fs::metadata(pending.now()).expect("is there").len();
        assert_eq!(cut, whole.len());
        writer.file.write_all(b"\x1f\x8b\x08").expect("writes");
        // In the midst of what is wanted: only a copy helps, and there is no space for one.
        let none = pending.clone().settle(&permit, u64::MAX, |line| line != 1);
        assert!(none.is_err());
        let left = files::list(folder.path()).expect("lists");
        assert_eq!(left.len(), 1, "no copy is left: {left:?}");
        assert_eq!(lines(&pending).expect("reads").0, ["1", "2", "3", "4"]);
        let settled = pending.settle(&permit, u64::MAX, |line| line < 2);
        settled.expect("needs no space");
        let (found, torn) = lines(&pack(State::Final)).expect("reads");
        assert_eq!(
            (found, torn),
            (["1", "2"].map(str::to_owned).to_vec(), false)
        );
        let last = std::fs::metadata(pack(State::Final).path).expect("is there");
        assert_eq!(last.ino(), whole.ino());
    }

    #[test]
    fn a_file_says_which_table_it_is_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let permit = Permit::for_tests();
        let origin = |database: &str, table: &str| Origin {
            database: database.into(),
            table: table.into(),
        };
        let odd = "a\0 \"é\"";
        let pending = pack(folder.path(), State::Pending);
        let written = Some(origin("app_db", odd));
        let mut writer = Writer::create(&permit, &pending.now(), written, 0).expect("creates");
        assert!(pending.require_of(&origin("x", "y")).is_ok(), "it is empty");
        writer.append("1\n2\n").expect("writes");
        writer.append("3\n").expect("writes");
        let settled = pending.settle(&permit, 0, |line| line != 0);
        settled.expect("is written anew");
        let pack = pack(folder.path(), State::Final);
        assert_eq!(lines(&pack).expect("reads").0, ["2", "3"]);
        let upper = odd.to_ascii_uppercase();
        assert!(pack.require_of(&origin("app_db", &upper)).is_ok());
        for other in [origin("app_db", "b"), origin("other", odd)] {
            assert!(pack.require_of(&other).is_err());
        }
        let mut writer = GzBuilder::new().write(Vec::new(), Compression::new(6));
        writer.write_all(b"1\n").expect("writes");
        std::fs::write(&pack.path, writer.finish().expect("packs")).expect("writes");
        assert!(pack.require_of(&origin("x", "y")).is_ok(), "an old one");
    }

    #[test]
    fn lines_are_left_out_and_names_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let permit = Permit::for_tests();
        let pack = pack(folder.path(), State::Pending);
        let mut writer = Writer::create(&permit, &pack.now(), None, 0).expect("creates");
        writer.append("1\n2\n").expect("writes");
        writer.append("3\n").expect("writes");
        drop(Moves::create(&permit, &pack.moves(), &Known::default()).expect("creates"));
        let done = super::tests::pack(folder.path(), State::Final);
        pack.keep(&permit, 0, |line| line == 1).expect("rewrites");
        assert_eq!(lines(&done).expect("reads").0, ["2"]);
        // Killed here: the final name is what counts.
        let listed = || Pack::list(folder.path(), "r").expect("lists");
        assert_eq!(listed().len(), 1);
        assert_eq!(listed()[0].state, State::Final);
        assert_eq!(
            Pack::leftovers(folder.path(), "r").expect("lists"),
            [pack.moves(), pack.now()]
        );
        std::fs::remove_file(&done.path).expect("removes");
        assert!(
            Pack::leftovers(folder.path(), "r")
                .expect("lists")
                .is_empty()
        );
        for other in [
            "r_x_20261109T041300Z.jsonl.gz",
            "r_2026.jsonl.gz",
            "r_20261109T041300Z.gz",
            "q_20261109T041300Z.jsonl.gz",
        ] {
            std::fs::write(folder.path().join(other), "").expect("writes");
        }
        let found = Pack::list(folder.path(), "r").expect("lists");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].state, State::Pending);
        let time = "2026-11-09T04:13:00Z".parse().expect("a time");
        let next = Pack::free(folder.path(), "r", time).expect("finds");
        assert!(next.path.ends_with("r_20261109T041300Z-2.jsonl.gz"));
        pack.settle(&permit, 0, |_| false).expect("removes");
        assert!(listed().is_empty());
        assert!(
            Pack::leftovers(folder.path(), "r")
                .expect("lists")
                .is_empty()
        );
    }
}
