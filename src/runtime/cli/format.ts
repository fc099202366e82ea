/** How times, statuses and values look to people. */
import type { TaskStatus } from '../../protocol/messages.ts'
import type { Cell, Format } from './output.ts'

/** `850ms`, `12s`, `3m`, `5h`, `8d` */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))}ms`
  const seconds = ms / 1_000
  if (seconds < 90) return `${Math.round(seconds)}s`
  if (seconds < 5_400) return `${Math.round(seconds / 60)}m`
  return seconds < 129_600 ? `${Math.round(seconds / 3_600)}h` : `${Math.round(seconds / 86_400)}d`
}

/** How long ago, or `in …` for what is to come. */
export function ago(time: string | undefined, nowMs = Date.now()): string {
  if (time === undefined) return ''
  const ms = nowMs - Date.parse(time)
  return ms < 0 ? `in ${duration(-ms)}` : `${duration(ms)} ago`
}

const formats: Partial<Record<string, Format>> = {
  completed: 'green',
  running: 'cyan',
  awarded: 'cyan',
  failed: 'red',
  expired: 'red',
  cancelled: 'yellow',
  parked: 'magenta',
  ready: 'blue',
}

export function statusCell(status: TaskStatus): Cell {
  const format = formats[status]
  return format === undefined ? { text: status } : { text: status, format }
}

/** A value in one line of at most `charsMax` characters. */
export function short(value: unknown, charsMax = 60): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length <= charsMax ? line : `${line.slice(0, charsMax - 1)}…`
}

/** `1.5 GiB` */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let size = count
  let unit = 0
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024
    unit += 1
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`
}
