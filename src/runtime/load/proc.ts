/**
 * Reads what Linux tells of processors and memory. Every reader returns undefined where the file is absent or unreadable:
 * on other systems, in sandboxes, in old kernels.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** Reads a file under /proc or /sys; a function, so that tests can show other machines. */
export type ReadText = (path: string) => string | undefined

export const readText: ReadText = (path) => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Lists a folder; empty if there is none. */
export function listFolder(path: string): readonly string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/** Ticks (1/100 s) of one processor since boot. Waiting for a disk is not being busy. */
export interface ProcessorTicks {
  readonly busy: number
  readonly all: number
}

/** By number of the processor. */
export function processorTicks(stat: string): Map<number, ProcessorTicks> {
  const ticks = new Map<number, ProcessorTicks>()
  for (const line of stat.split('\n')) {
    const match = /^cpu(\d+) (.+)/.exec(line)
    if (!match) continue
    // user nice system idle iowait irq softirq steal; guest time is part of user time.
    const fields = match[2]!.trim().split(/\s+/).slice(0, 8).map(Number)
    const all = fields.reduce((sum, value) => sum + value, 0)
    ticks.set(Number(match[1]), { busy: all - (fields[3] ?? 0) - (fields[4] ?? 0), all })
  }
  return ticks
}

/** The processors that a process may run on: `0-2,5` of the line Cpus_allowed_list. */
export function allowedProcessors(status: string): number[] | undefined {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1]
  return list?.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: Math.max(0, last - first) + 1 }, (_, index) => first + index)
  })
}

/** Nanoseconds that a thread ran and that it waited for a processor, from its `schedstat`. */
export function threadTimes(schedstat: string): { ranNs: number; waitedNs: number } | undefined {
  const [ranNs, waitedNs] = schedstat.trim().split(/\s+/).map(Number)
  if (ranNs === undefined || waitedNs === undefined || !Number.isFinite(ranNs + waitedNs)) return undefined
  return { ranNs, waitedNs }
}

/** The folder of the process's control group (version 2), from /proc/self/cgroup. */
export function groupFolder(cgroup: string): string | undefined {
  const path = /^0::(\/.*)$/m.exec(cgroup)?.[1]
  return path === undefined ? undefined : `/sys/fs/cgroup${path === '/' ? '' : path}`
}

/** Processors that the group may use, from `cpu.max`: "200000 100000" is 2. Undefined: no limit. */
export function groupQuota(cpuMax: string): number | undefined {
  const [quota, period] = cpuMax.trim().split(' ').map(Number)
  return quota !== undefined && period !== undefined && quota > 0 && period > 0 ? quota / period : undefined
}

/** A field of `cpu.stat` or `memory.stat`. */
export function groupField(stat: string, field: string): number | undefined {
  const value = new RegExp(`^${field} (\\d+)`, 'm').exec(stat)?.[1]
  return value === undefined ? undefined : Number(value)
}
