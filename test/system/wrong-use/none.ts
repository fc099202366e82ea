/** A file that exports no task. */
export const answer = 42
