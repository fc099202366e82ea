/** Counting words as map and reduce: one task counts a piece of text, the other adds two counts together. */
import { task } from 'troupe'

/** How often each word occurs. */
export type Counts = Record<string, number>

/** Words are runs of letters, in lower case; an apostrophe inside a word belongs to it. */
export function countOf(text: string): Counts {
  const counts = new Map<string, number>()
  for (const [word] of text.toLowerCase().matchAll(/\p{L}+(?:['’]\p{L}+)*/gu))
    counts.set(word, (counts.get(word) ?? 0) + 1)
  return Object.fromEntries(counts)
}

export const countWords = task('count-words', (input: { text: string }) => countOf(input.text))

export const addCounts = task('add-counts', (input: { counts: Counts[] }) => {
  const sum = new Map<string, number>()
  for (const counts of input.counts) {
    for (const [word, count] of Object.entries(counts)) sum.set(word, (sum.get(word) ?? 0) + count)
  }
  return Object.fromEntries(sum)
})
