//! Panics of what reads from strangers: each ends one connection, and is counted.

use crate::metrics::Counter;

/// Does work that reads what strangers send. A panic ends it, and with it the task, and is counted.
pub async fn counted(panics: Counter, work: impl Future<Output = ()>) {
    struct Witness(Counter);
    impl Drop for Witness {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.inc();
            }
        }
    }
    let _witness = Witness(panics);
    work.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_connection_and_is_counted() {
        let panics = Counter::default();
        let broken = async { panic!("as if a handler had panicked") };
        assert!(tokio::spawn(counted(panics.clone(), broken)).await.is_err());
        assert_eq!(panics.get(), 1);
        let whole = tokio::spawn(counted(panics.clone(), async {}));
        let cut_off = tokio::spawn(counted(panics.clone(), std::future::pending()));
        cut_off.abort();
        assert!(whole.await.is_ok() && cut_off.await.is_err());
        assert_eq!(panics.get(), 1);
    }
}
