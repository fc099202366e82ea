/** Loggers of processes: pino on stderr, as JSON lines for machines or as short lines for people. */
import { Writable } from 'node:stream'
import pino, { type Logger } from 'pino'
import { loggedError, redacted } from './redaction.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** Fields that every line has and people do not need. */
const hidden = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'role', 'node'])

/** `people`: one short line per entry; else one JSON object per line. Always stderr. */
export function createLogger(level: LogLevel, people: boolean): Logger {
  const stream = people ? shortLines() : pino.destination({ dest: 2, sync: true })
  const serializers = { err: loggedError, error: loggedError }
  return pino({ level, serializers, hooks: { streamWrite: redacted } }, stream)
}

function shortLines(): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      process.stderr.write(`${shortLine(chunk.toString())}\n`)
      done()
    },
  })
}

function shortLine(json: string): string {
  try {
    const entry = JSON.parse(json) as Record<string, unknown>
    const time = new Date(entry.time as number).toISOString().slice(11, 23)
    const who = [entry.role, entry.node].filter(Boolean).join(' ')
    const rest = Object.entries(entry)
      .filter(([name]) => !hidden.has(name))
      .map(
        ([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value).slice(0, 300) : String(value)}`,
      )
    return [time, pino.levels.labels[entry.level as number]?.padEnd(5), who, entry.msg, ...rest]
      .filter(Boolean)
      .join(' ')
  } catch {
    return json.trimEnd()
  }
}
