/** Patterns whose due times are plain: every so many seconds of a minute. */
export const patterns: Readonly<Record<string, number>> = {
  '* * * * * *': 1_000,
  '*/2 * * * * *': 2_000,
  '*/5 * * * * *': 5_000,
  '*/15 * * * * *': 15_000,
}
