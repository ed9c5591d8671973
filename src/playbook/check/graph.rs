//! The tasks' order: who comes before whom, and circles.

use std::collections::HashMap;

/// Which tasks come before which, by index in the playbook.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Direct dependencies of each task.
    pub before: Vec<Vec<usize>>,
    /// Everything that comes before each task, near or far.
    pub ancestors: Vec<Vec<bool>>,
    /// Index of each id (the first, if one stands twice).
    pub index: HashMap<String, usize>,
}

impl Graph {
    /// The graph of tasks given as (id, dependencies); dependencies on nobody are left out.
    ///
    /// # Errors
    /// The ids of one circle, in order, the first one again at the end.
    pub fn of(tasks: &[(&str, &[String])]) -> Result<Self, Vec<String>> {
        let mut index = HashMap::new();
        for (number, (id, _)) in tasks.iter().enumerate() {
            index.entry((*id).to_owned()).or_insert(number);
        }
        let before: Vec<Vec<usize>> =
            tasks.iter().map(|(_, after)| after.iter().filter_map(|id| index.get(id).copied()).collect()).collect();
        let mut graph = Self { ancestors: vec![vec![false; tasks.len()]; tasks.len()], before, index };
        for task in
            graph.sorted().map_err(|circle| circle.iter().map(|task| tasks[*task].0.to_owned()).collect::<Vec<_>>())?
        {
            let mut all = vec![false; tasks.len()];
            for near in &graph.before[task] {
                all[*near] = true;
                for (far, is) in graph.ancestors[*near].iter().enumerate() {
                    all[far] |= is;
                }
            }
            graph.ancestors[task] = all;
        }
        Ok(graph)
    }

    /// Every task after those it depends on; or one circle.
    fn sorted(&self) -> Result<Vec<usize>, Vec<usize>> {
        let count = self.before.len();
        let mut waits: Vec<usize> = self.before.iter().map(Vec::len).collect();
        let mut after: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (task, before) in self.before.iter().enumerate() {
            for earlier in before {
                after[*earlier].push(task);
            }
        }
        let mut ready: Vec<usize> = (0..count).filter(|task| waits[*task] == 0).collect();
        let mut order = Vec::with_capacity(count);
        while let Some(task) = ready.pop() {
            order.push(task);
            for later in &after[task] {
                waits[*later] -= 1;
                if waits[*later] == 0 {
                    ready.push(*later);
                }
            }
        }
        if order.len() == count {
            return Ok(order);
        }
        // Every task left waits for another one left: walking along those must come round.
        let left: Vec<bool> = waits.iter().map(|waits| *waits > 0).collect();
        let mut path = Vec::new();
        let mut at = left.iter().position(|left| *left);
        while let Some(task) = at {
            if let Some(start) = path.iter().position(|seen| *seen == task) {
                let mut circle: Vec<usize> = path[start..].to_vec();
                circle.reverse();
                circle.push(circle[0]);
                return Err(circle);
            }
            path.push(task);
            at = self.before[task].iter().copied().find(|earlier| left[*earlier]);
        }
        Err(Vec::new())
    }
}
