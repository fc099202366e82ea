import { describe, expect, test } from 'vitest'
import { LoadSampler } from '../../src/runtime/load/load-sampler.ts'
import { LoopDelay } from '../../src/runtime/load/loop-delay.ts'
import { memoryShare } from '../../src/runtime/load/memory.ts'
import { allowedProcessors, groupFolder, groupQuota, processorTicks, threadTimes } from '../../src/runtime/load/proc.ts'
import { ProcessorMeter } from '../../src/runtime/load/processors.ts'
import { until } from '../harness/server.ts'

/** A machine whose files a test changes. */
function machine(files: Record<string, string>) {
  return { files, read: (path: string) => files[path] }
}

/** /proc/stat of a machine with two processors, [busy, idle] ticks of each. */
function stat(first: [number, number], second: [number, number]): string {
  const line = (name: string, [busy, idle]: [number, number]) => `${name} ${busy} 0 0 ${idle} 0 0 0 0 0 0`
  return ['cpu  1 2 3 4', line('cpu0', first), line('cpu1', second), 'intr 5'].join('\n')
}

describe('reading of /proc and /sys', () => {
  test('takes waiting for a disk as idle, and time stolen by other machines as busy', () => {
    const ticks = processorTicks('cpu  9 9 9 9\ncpu0 10 1 5 100 40 2 3 7 0 0\ncpu12 1 1 1 1 1 1 1 1 50 0\n')
    expect(ticks.get(0)).toEqual({ busy: 28, all: 168 })
    expect([...ticks.keys()]).toEqual([0, 12])
  })

  test.each([
    ['Cpus_allowed_list:\t0-3', [0, 1, 2, 3]],
    ['Name:\tnode\nCpus_allowed_list:\t1,4-5\nMems', [1, 4, 5]],
    ['nothing of it', undefined],
  ])('finds the allowed processors in %j', (status, expected) => {
    expect(allowedProcessors(status)).toEqual(expected)
  })

  test('finds the control group and its quota', () => {
    expect(groupFolder('0::/')).toBe('/sys/fs/cgroup')
    expect(groupFolder('9:cpu:/x\n0::/a/b')).toBe('/sys/fs/cgroup/a/b')
    expect(groupFolder('9:cpu:/x')).toBeUndefined()
    expect(groupQuota('150000 100000\n')).toBe(1.5)
    expect(groupQuota('max 100000\n')).toBeUndefined()
    expect(threadTimes('12 34 5\n')).toEqual({ ranNs: 12, waitedNs: 34 })
    expect(threadTimes('')).toBeUndefined()
  })
})

describe('the load of processors', () => {
  test('counts what others do on the processors of this process only', () => {
    const { files, read } = machine({
      '/proc/self/status': 'Cpus_allowed_list:\t1',
      '/proc/stat': stat([0, 0], [0, 0]),
    })
    const meter = new ProcessorMeter(read)
    files['/proc/stat'] = stat([1_000, 0], [0, 1_000])
    expect(meter.measure()).toMatchObject({ cpu: 0.5, cpus: 1, otherCpus: 0 })
    files['/proc/stat'] = stat([1_000, 1_000], [1_000, 1_000])
    const hogged = meter.measure()
    expect(hogged.cpu).toBe(0.5)
    // What is left of the processor after this process, which hardly runs.
    expect(hogged.otherCpus).toBeCloseTo(Math.max(0, 1 - hogged.ownCpus), 5)
  })

  test('counts the processes of isolated tasks as its own, and what they wait', () => {
    const thread = '/proc/71/task/71/schedstat'
    const { files, read } = machine({
      '/proc/self/status': 'Cpus_allowed_list:\t1',
      '/proc/stat': stat([0, 0], [0, 0]),
      [`/proc/self/task/${process.pid}/children`]: '71 ',
      [thread]: '0 0 1',
    })
    const meter = new ProcessorMeter(read, (path) => (path === '/proc/71/task' ? ['71'] : []))
    const startedAtMs = performance.now()
    while (performance.now() < startedAtMs + 30);
    files['/proc/stat'] = stat([0, 0], [1_000, 0])
    files[thread] = '100000000000 300000000000 9'
    const load = meter.measure()
    expect(load.ownCpus).toBeGreaterThan(2)
    expect(load.otherCpus).toBe(0)
    expect(load.waitRatio).toBeCloseTo(3)
  })

  test('within a quota counts others only where they leave too little room', () => {
    const { files, read } = machine({
      '/proc/self/status': 'Cpus_allowed_list:\t0-1',
      '/proc/self/cgroup': '0::/box',
      '/sys/fs/cgroup/box/cpu.max': '100000 100000',
      '/proc/stat': stat([0, 0], [0, 0]),
    })
    const meter = new ProcessorMeter(read)
    files['/proc/stat'] = stat([1_000, 0], [0, 1_000])
    expect(meter.measure()).toMatchObject({ cpus: 1, otherCpus: 0 })
  })

  test('is unknown and therefore none where there is no /proc', () => {
    const load = new ProcessorMeter(() => undefined).measure()
    expect(load).toMatchObject({ otherCpus: 0, waitRatio: 0 })
    expect(load.cpus).toBeGreaterThanOrEqual(1)
    expect(load.cpu).toBeLessThanOrEqual(1)
  })
})

describe('the share of memory', () => {
  test('leaves out files that a control group keeps only because there is room', () => {
    const { read } = machine({
      '/proc/self/cgroup': '0::/box',
      '/sys/fs/cgroup/box/memory.max': '1000',
      '/sys/fs/cgroup/box/memory.current': '999',
      '/sys/fs/cgroup/box/memory.stat': 'anon 1\ninactive_file 1\n',
    })
    expect(memoryShare(read)).toBeCloseTo(0.998, 3)
    const cached = (path: string) => (path.endsWith('memory.stat') ? 'inactive_file 990\n' : read(path))
    expect(memoryShare(cached)).toBeLessThan(0.99)
  })
})

describe('the delay of the main loop', () => {
  test('counts a long block for all that fell due in it', async () => {
    const delay = new LoopDelay()
    const untilMs = performance.now() + 500
    while (performance.now() < untilMs);
    const meanMs = await until(() => delay.take(), 'the timer has fired')
    delay.stop()
    expect(meanMs).toBeGreaterThan(150)
  })
})

test('a sample of this process has every figure in its range', async () => {
  const samples: ReturnType<LoadSampler['sample']>[] = []
  const sampler = new LoadSampler((sample) => samples.push(sample))
  await until(() => samples.length >= 2, 'two samples')
  sampler.stop()
  for (const sample of samples) {
    for (const key of ['loop', 'cpu', 'memory'] as const) {
      expect(sample[key]).toBeGreaterThanOrEqual(0)
      expect(sample[key]).toBeLessThanOrEqual(1)
    }
    for (const key of ['loopDelayMs', 'ownCpus', 'otherCpus', 'waitRatio'] as const) {
      expect(sample[key]).toBeGreaterThanOrEqual(0)
    }
    expect(sample.cpus).toBeGreaterThan(0)
    expect(sample.rssBytes).toBeGreaterThan(1e6)
  }
})
