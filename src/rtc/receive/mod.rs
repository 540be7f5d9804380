//! Reports of the viewers: lost packets, arrival times, and what they tell of a path.

pub mod estimate;
pub mod feedback;
pub mod twcc;
