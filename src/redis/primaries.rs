//! The servers that hold the keys: the one that is configured, or each primary of its cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use ::redis::{Value, cmd, from_redis_value};

use super::{Answer, Server};
use crate::error::{Failure, Kind, refused};

impl Server {
    /// Every server that takes writes for these keys. A replica is refused where something is to change: what is changed there is
    /// changed nowhere else.
    pub fn primaries(
        &self,
        answer: &Answer,
        changes: bool,
        limit: Duration,
    ) -> anyhow::Result<Vec<Self>> {
        if answer.is_cluster() {
            return self.of_cluster(limit);
        }
        if changes && let Some(primary) = answer.primary() {
            return Err(refused(format!(
                "Redis at {} is a replica of {primary}: it takes no changes",
                self.name()
            ))
            .hint("[redis] url = the address of the primary")
            .into());
        }
        Ok(vec![self.clone()])
    }

    fn of_cluster(&self, limit: Duration) -> anyhow::Result<Vec<Self>> {
        let slots: Vec<Value> = self.connect(limit)?.ask(cmd("CLUSTER").arg("SLOTS"))?;
        let mut found = BTreeSet::new();
        for range in slots {
            let parts: Vec<Value> = from_redis_value(range)?;
            if let Some(Value::Array(primary)) = parts.get(2)
                && let [host, port, ..] = &primary[..]
            {
                let host: Option<String> = from_redis_value(host.clone())?;
                let port: u16 = from_redis_value(port.clone())?;
                found.insert((host.filter(|host| !host.is_empty()), port));
            }
        }
        if found.is_empty() {
            let text = format!("the cluster of Redis at {} holds no slots", self.name());
            return Err(Failure::new(Kind::Missing, text)
                .hint("redis-cli CLUSTER INFO")
                .into());
        }
        // A server that does not know its own address is the one that we asked.
        Ok(found
            .into_iter()
            .map(|(host, port)| match host {
                Some(host) => self.at(&host, port),
                None => self.clone(),
            })
            .collect())
    }
}
