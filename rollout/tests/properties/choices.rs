//! Random choices, one after the other; fewer and smaller ones make a simpler world.

/// Choices that are made in advance. When they are used up, every further one is the first possibility.
#[derive(Clone, Debug)]
pub struct Choices {
    all: Vec<u16>,
    next: usize,
}

impl Choices {
    pub fn new(all: Vec<u16>) -> Self {
        Self { all, next: 0 }
    }

    pub fn any_left(&self) -> bool {
        self.next < self.all.len()
    }

    /// One of `0..possibilities`.
    pub fn of(&mut self, possibilities: usize) -> usize {
        let choice = self.all.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        usize::from(choice) % possibilities.max(1)
    }

    /// Whether something happens that does once in `times`. With no choices left it does not.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.of(times) == times - 1
    }

    pub fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.of(all.len())].clone()
    }
}
