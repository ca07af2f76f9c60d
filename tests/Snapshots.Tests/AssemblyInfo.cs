// One test after the other. Many start processes, and between fork and exec such a process holds copies of all descriptors with their locks, so that what
// another test has just let go looks busy for a moment.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
