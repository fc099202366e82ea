/** Names of options: a name that nobody knows is refused at once, because it would otherwise be a wish that nobody hears. */
import { TroupeError } from './errors.ts'

/** Throws TROUPE_UNKNOWN_OPTION for the first name that is not known, with the known one it looks like. */
export function checkOptionNames(what: string, given: object, known: readonly string[], path = ''): void {
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue
    const near = nearest(name, known)
    const hint = near === undefined ? '' : ` (did you mean "${path}${near}"?)`
    const names = known.map((one) => path + one).join(', ')
    throw new TroupeError(
      'TROUPE_UNKNOWN_OPTION',
      `${what}: there is no option "${path}${name}"${hint}; known are ${names}`,
      { details: { option: path + name, ...(near === undefined ? {} : { near: path + near }) } },
    )
  }
}

/** Returns the known name that is at most a third of its letters away. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: { readonly one: string; readonly edits: number } | undefined
  for (const one of known) {
    const edits = distance(name.toLowerCase(), one.toLowerCase())
    if (edits <= Math.max(1, one.length / 3) && (best === undefined || edits < best.edits)) best = { one, edits }
  }
  return best?.one
}

/** Letters to insert, remove or replace (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
