/**
 * What a command prints. Data goes to stdout: JSON and nothing else with --json, otherwise text and tables, coloured on a
 * terminal only. Everything else goes to stderr.
 */
import { styleText } from 'node:util'
import { redacted } from '../redaction.ts'

export type Format = Parameters<typeof styleText>[0]

/** A cell, and how it looks on a terminal. */
export interface Cell {
  readonly text: string
  readonly format?: Format
}

export class Output {
  readonly json: boolean

  constructor(json: boolean) {
    this.json = json
  }

  /** One JSON value on a line of its own. */
  value(value: unknown): void {
    process.stdout.write(`${JSON.stringify(value === undefined ? null : value)}\n`)
  }

  /** A line of text on stdout; only without --json. */
  line(text: string): void {
    process.stdout.write(`${text}\n`)
  }

  /** A remark on stderr. */
  note(text: string): void {
    process.stderr.write(`${styleText('dim', text, { stream: process.stderr })}\n`)
  }

  /** What went wrong, on stderr. */
  problem(text: string): void {
    process.stderr.write(`${styleText('red', 'error:', { stream: process.stderr })} ${redacted(text)}\n`)
  }

  /** A table whose columns are as wide as their cells. */
  table(headings: readonly string[], rows: readonly (readonly (string | Cell)[])[]): void {
    const cells = rows.map((row) => row.map((cell) => (typeof cell === 'string' ? { text: cell } : cell)))
    const widths = headings.map((heading, column) =>
      Math.max(heading.length, ...cells.map((row) => row[column]?.text.length ?? 0)),
    )
    const render = (row: readonly Cell[]) =>
      row
        .map((cell, column) => {
          const padded = column === row.length - 1 ? cell.text : cell.text.padEnd(widths[column] ?? 0)
          return cell.format === undefined ? padded : this.styled(cell.format, padded)
        })
        .join('  ')
    this.line(render(headings.map((text) => ({ text, format: 'bold' as const }))))
    for (const row of cells) this.line(render(row))
  }

  /** Name and value pairs, one a line; those without a value are left out. */
  fields(fields: readonly (readonly [name: string, value: string | Cell | undefined])[]): void {
    const present = fields.filter(([, value]) => value !== undefined) as [string, string | Cell][]
    const width = Math.max(0, ...present.map(([name]) => name.length))
    for (const [name, value] of present) {
      const cell = typeof value === 'string' ? { text: value } : value
      const text = cell.text.replaceAll('\n', `\n${' '.repeat(width + 2)}`)
      this.line(
        `${this.styled('bold', name.padEnd(width))}  ${cell.format === undefined ? text : this.styled(cell.format, text)}`,
      )
    }
  }

  /** The text as it looks on this stdout. */
  styled(format: Format, text: string): string {
    return styleText(format, text, { stream: process.stdout })
  }
}
