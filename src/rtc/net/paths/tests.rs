//! Tests of the paths to one viewer.

use super::*;

const LEN: usize = 96;

fn udp(n: u16) -> Path {
    Path::udp(([10, 0, 0, 1], n).into(), None)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Checks that are sent at that time.
fn due(paths: &mut Paths, now: Instant) -> Vec<(Path, u32, Transaction)> {
    std::iter::from_fn(|| paths.next_check(now, |_| LEN)).collect()
}

/// A check of the viewer's comes.
fn hear(paths: &mut Paths, now: Instant, path: Path, session: u32) -> Option<Path> {
    let forgotten = paths.heard(now, path, session);
    paths.received(&path, 104);
    paths.sent(&path, 64);
    forgotten
}

/// It nominates its path.
fn nominate(paths: &mut Paths, now: Instant, path: Path, session: u32) -> bool {
    hear(paths, now, path, session);
    paths.nominated(now, path, session)
}

/// The viewer answers what it is asked now. Returns whether media takes the path.
fn answer(paths: &mut Paths, now: Instant, path: Path) -> bool {
    let checks = due(paths, now);
    let (_, session, transaction) = checks.into_iter().find(|check| check.0 == path).unwrap();
    assert_eq!(paths.asked(&path, transaction), Some(session));
    paths.proven(now, &path, session)
}

#[test]
fn media_takes_a_path_that_was_nominated_and_answered_on_in_either_order() {
    let now = Instant::now();
    let mut paths = Paths::new(1);
    assert!(!nominate(&mut paths, now, udp(1), 0));
    assert_eq!(paths.selected(), None);
    assert!(answer(&mut paths, now, udp(1)));
    assert_eq!(paths.selected(), Some(udp(1)));
    hear(&mut paths, now, udp(2), 0);
    assert!(!answer(&mut paths, now, udp(2)), "it is not nominated");
    assert!(nominate(&mut paths, now + FRESH, udp(2), 0));
    assert_eq!(paths.selected(), Some(udp(2)));
    // What was answered long ago is asked anew.
    let later = now + FRESH * 2;
    assert!(!nominate(&mut paths, later, udp(1), 0));
    assert_eq!(paths.selected(), Some(udp(2)));
    assert!(answer(&mut paths, later, udp(1)));
}

#[test]
fn the_last_nomination_counts_whatever_is_answered_when() {
    let now = Instant::now();
    let mut paths = Paths::new(1);
    nominate(&mut paths, now, udp(1), 0);
    answer(&mut paths, now, udp(1));
    nominate(&mut paths, now, udp(2), 0);
    assert!(nominate(&mut paths, now, udp(1), 0), "back again");
    assert!(!answer(&mut paths, now, udp(2)));
    assert_eq!(paths.selected(), Some(udp(1)));
    // In a later ICE session it counts even if the one before is still in use.
    nominate(&mut paths, now, udp(3), 1);
    nominate(&mut paths, now, udp(1), 0);
    assert!(answer(&mut paths, now, udp(3)));
    assert_eq!(paths.selected_session(), Some(1));
    assert_eq!(paths.forget_before(1), [udp(2), udp(1)]);
    assert_eq!(paths.all().collect::<Vec<_>>(), [udp(3)]);
}

#[test]
fn an_answer_by_another_path_or_to_another_question_is_none() {
    let now = Instant::now();
    let mut paths = Paths::new(70_000);
    nominate(&mut paths, now, udp(1), 0);
    let (_, _, transaction) = due(&mut paths, now)[0];
    assert_eq!(owner(transaction), 70_000);
    assert_eq!(paths.asked(&udp(2), transaction), None);
    let mut other = transaction;
    other[11] ^= 1;
    assert_eq!(paths.asked(&udp(1), other), None);
    assert_eq!(paths.asked(&udp(1), transaction), Some(0));
    assert_eq!(paths.asked(&Path::tcp(udp(1).remote, 1), transaction), None);
}

#[test]
fn an_unproven_path_is_sent_three_times_what_came_by_it_and_no_more() {
    let start = Instant::now();
    let mut paths = Paths::new(1);
    nominate(&mut paths, start, udp(1), 0);
    let mut sent = Vec::new();
    for n in 0..1000 {
        let now = start + ms(10) * n;
        sent.extend(due(&mut paths, now).into_iter().map(|_| 10 * n));
    }
    // 64 bytes of an answer, and two checks.
    assert_eq!(sent, [0, 200]);
    assert_eq!(paths.deadline(|_| LEN), None, "due, without leave");
    // What comes gives leave, and the same question is asked again.
    let now = start + ms(20_000);
    paths.received(&udp(1), 200);
    assert_eq!(paths.deadline(|_| LEN), Some(start + ms(600)));
    assert_eq!(paths.deadline(|_| usize::MAX), None, "given up");
    assert_eq!(due(&mut paths, now).len(), 1);
    assert_eq!(due(&mut paths, now + ms(800)).len(), 1);
    assert_eq!(due(&mut paths, now + ms(60_000)).len(), 0, "four times");
    assert_eq!(paths.deadline(|_| LEN), None);
    // A further check of the viewer's begins another question.
    nominate(&mut paths, now + ms(60_000), udp(1), 0);
    assert_eq!(due(&mut paths, now + ms(60_000)).len(), 1);
}

#[test]
fn the_selected_path_is_asked_every_few_seconds() {
    let start = Instant::now();
    let mut paths = Paths::new(1);
    nominate(&mut paths, start, udp(1), 0);
    answer(&mut paths, start, udp(1));
    let mut now = start;
    let mut transactions = Vec::new();
    for _ in 0..50 {
        let at = paths.deadline(|_| LEN).unwrap();
        let (is_usual, is_lost) = (
            (ms(4000)..ms(6100)).contains(&(at - now)),
            paths.is_lost(now),
        );
        assert!(
            is_usual || is_lost && at - now == LOST_INTERVAL,
            "{:?}",
            at - now
        );
        now = at;
        let [(path, _, transaction)] = due(&mut paths, now)[..] else {
            panic!("one check");
        };
        assert_eq!(path, udp(1));
        assert!(!transactions.contains(&transaction));
        transactions.push(transaction);
        // Some are answered.
        if transaction[11] & 1 == 0 {
            assert!(!paths.proven(now, &path, 0));
        }
    }
}

#[test]
fn a_viewer_that_is_back_is_asked_at_once() {
    let start = Instant::now();
    let mut paths = Paths::new(1);
    nominate(&mut paths, start, udp(1), 0);
    answer(&mut paths, start, udp(1));
    let asked = paths.deadline(|_| LEN).unwrap();
    hear(&mut paths, asked, udp(1), 0);
    assert_eq!(due(&mut paths, asked).len(), 1, "it is due anyway");
    let now = asked + ms(3000);
    hear(&mut paths, now, udp(1), 0);
    assert_eq!(due(&mut paths, now).len(), 1, "the last was not answered");
    let now = now + ms(100);
    paths.proven(now, &udp(1), 0);
    hear(&mut paths, now, udp(1), 0);
    assert_eq!(due(&mut paths, now).len(), 0);
}

#[test]
fn of_too_many_paths_the_unproven_go_first_and_the_selected_never() {
    let now = Instant::now();
    let mut paths = Paths::new(1);
    nominate(&mut paths, now, udp(1), 0);
    answer(&mut paths, now, udp(1));
    hear(&mut paths, now, udp(2), 0);
    answer(&mut paths, now, udp(2));
    for n in 3..=MAX_PATHS as u16 {
        assert_eq!(hear(&mut paths, now, udp(n), 0), None);
    }
    let forgotten = (100..200).map(|n| hear(&mut paths, now, udp(n), 0).unwrap().remote.port());
    let forgotten: Vec<_> = forgotten.collect();
    let ports: Vec<_> = (3..=MAX_PATHS as u16).chain(100..170).collect();
    assert_eq!(forgotten, ports);
    assert_eq!(paths.all().count(), MAX_PATHS);
    let first: Vec<_> = paths.all().take(2).collect();
    assert_eq!(first, [udp(1), udp(2)]);
    // The viewer's own new address has a place, and proves itself.
    assert!(!nominate(&mut paths, now, udp(999), 0));
    assert!(answer(&mut paths, now, udp(999)));
}

#[test]
fn when_a_connection_ends_media_goes_back_to_the_path_that_was_proven_last() {
    let start = Instant::now();
    let connection = Path::tcp(udp(1).remote, 7);
    let with = |until_loss: Duration| {
        let mut paths = Paths::new(1);
        for path in [udp(1), udp(2), connection] {
            nominate(&mut paths, start, path, 0);
            assert!(answer(
                &mut paths,
                start + ms(u64::from(path.remote.port())),
                path
            ));
        }
        let now = start + until_loss;
        (paths.hung_up(now, 7), paths, now)
    };
    let (moves, mut paths, now) = with(TAKES_OVER);
    assert_eq!((moves, paths.selected()), (true, Some(udp(2))));
    let consent = paths.consent_ends().unwrap();
    assert!(consent < now + CONSENT / 2, "as its last answer gave it");
    answer(&mut paths, now, udp(2));
    assert_eq!(
        paths.consent_ends(),
        Some(now + CONSENT),
        "it is asked at once"
    );
    // Consent that ends soon is asked for before.
    let (moves, mut paths, now) = with(CONSENT - ms(1000));
    assert!(!moves);
    assert!(answer(&mut paths, now, udp(2)));
    // After that the viewer has to be asked.
    let (moves, mut paths, now) = with(CONSENT * 2);
    assert!(!moves);
    assert_eq!(
        due(&mut paths, now).len(),
        0,
        "nothing came by them for long"
    );
    hear(&mut paths, now, udp(1), 0);
    assert!(answer(&mut paths, now, udp(1)));
    let (_, mut paths, now) = with(CONSENT);
    assert!(!paths.hung_up(now, 9), "a connection that is not used");
}

#[test]
fn a_viewer_that_answers_only_elsewhere_is_sent_media_there_without_a_nomination() {
    let start = Instant::now();
    let mut paths = Paths::new(1);
    nominate(&mut paths, start, udp(1), 0);
    answer(&mut paths, start, udp(1));
    for seconds in 1..=12 {
        let now = start + ms(1000) * seconds;
        hear(&mut paths, now, udp(2), 0);
        for (path, session, _) in due(&mut paths, now) {
            assert!(path == udp(1) || !paths.proven(now, &path, session));
        }
    }
    let now = start + ms(13_000);
    hear(&mut paths, now, udp(3), 1);
    assert!(!answer(&mut paths, now, udp(3)), "of another ICE session");
    hear(&mut paths, now, udp(2), 0);
    assert!(answer(&mut paths, now, udp(2)));
    assert_eq!(paths.selected(), Some(udp(2)));
    // Back again, without words and with them.
    hear(&mut paths, now, udp(1), 0);
    assert!(!answer(&mut paths, now, udp(1)));
    assert!(nominate(&mut paths, now, udp(1), 0));
}

#[test]
fn an_answer_that_takes_longer_than_the_viewers_next_check_counts() {
    let start = Instant::now();
    let mut paths = Paths::new(1);
    nominate(&mut paths, start, udp(1), 0);
    answer(&mut paths, start, udp(1));
    let asked = paths.deadline(|_| LEN).unwrap();
    let (path, _, transaction) = due(&mut paths, asked)[0];
    for n in 1..19 {
        let now = asked + ms(100) * n;
        hear(&mut paths, now, udp(1), 0);
        assert_eq!(due(&mut paths, now).len(), 0);
    }
    assert_eq!(paths.asked(&path, transaction), Some(0));
}

#[test]
fn consent_to_the_selected_path_comes_by_answers_there_alone() {
    let start = Instant::now();
    let mut paths = Paths::new(1);
    assert_eq!(paths.consent_ends(), None);
    nominate(&mut paths, start, udp(1), 0);
    answer(&mut paths, start, udp(1));
    assert_eq!(paths.consent_ends(), Some(start + CONSENT));
    // In another ICE session the viewer answers, and nominates nothing.
    for seconds in 1..30 {
        let now = start + ms(1000) * seconds;
        hear(&mut paths, now, udp(2), 1);
        for (path, session, _) in due(&mut paths, now) {
            assert!(path == udp(1) || !paths.proven(now, &path, session));
        }
    }
    assert_eq!(paths.consent_ends(), Some(start + CONSENT));
    // A path that is lost is asked each second, so that on a bad line an answer comes in time.
    let now = start + ms(40_000);
    assert_eq!(due(&mut paths, now).len(), 1);
    let now = now + LOST_INTERVAL;
    answer(&mut paths, now, udp(1));
    assert_eq!(paths.consent_ends(), Some(now + CONSENT));
}
