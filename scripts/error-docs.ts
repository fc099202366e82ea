// Writes docs/errors.md from the table of error codes (`npm run docs:errors`); a test compares the two.
import { readFileSync, writeFileSync } from 'node:fs'
import { type ErrorCode, errorCodes, TroupeError } from '../src/protocol/errors.ts'

/** The comments in the table that open a group, as titles. */
const groups = ['What a user gave', 'What became of a task', 'What happened to a process']

/** Text between backticks stands as it is; elsewhere a `<` would begin a tag. */
const cell = (text: string): string =>
  text.replaceAll('|', '\\|').replaceAll(/`[^`]*`|</g, (part) => (part === '<' ? '&lt;' : part))

function row(code: ErrorCode): string {
  const { next, retryable } = new TroupeError(code, '')
  return `| \`${code}\` | ${retryable ? 'yes' : 'no'} | ${cell(next)} |`
}

/** The codes of each group, in the table's order. */
function groupedCodes(): ErrorCode[][] {
  const table = readFileSync(new URL('../src/protocol/errors.ts', import.meta.url), 'utf8')
  const starts = groups.map((group) => table.indexOf(`// ${group[0]!.toLowerCase()}${group.slice(1)}`))
  if (starts.includes(-1)) throw new Error('the comments that open the groups of the error table have changed')
  const within = (at: number, index: number): boolean => at > starts[index]! && at < (starts[index + 1] ?? table.length)
  return groups.map((_, index) => errorCodes.filter((code) => within(table.indexOf(`\n  ${code}:`), index)))
}

/** The whole page. */
export function errorDocs(): string {
  const head = '| code | retry | what to do |\n| --- | --- | --- |'
  const sections = groupedCodes().map(
    (codes, index) => `## ${groups[index]}\n\n${head}\n${codes.map(row).join('\n')}\n`,
  )
  return `# Errors

Every error of Troupe is a \`TroupeError\` with a \`code\` that stays the same over versions, a \`message\` that says what happened
with the values, and \`next\`, what to do. \`retryable\` says whether doing the same again can help. Over NATS an error is
\`{"error":{"code":…,"message":…,"details":…}}\`. Compare codes, never messages.

This page is written by \`npm run docs:errors\` from \`src/protocol/errors.ts\`.

${sections.join('\n')}`
}

if (import.meta.main) writeFileSync(new URL('../docs/errors.md', import.meta.url), errorDocs())
