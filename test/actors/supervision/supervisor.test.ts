import { describe, expect, test } from 'vitest'
import { Cluster } from './cluster.ts'

/** A cluster that has been running for a while. */
function settled(count: number): Cluster {
  return new Cluster(count).run(5_000)
}

describe('a healthy troupe', () => {
  test.each([1, 2, 3, 10, 40])('of %i nodes is neither probed nor fenced', (count) => {
    const cluster = settled(count).run(20_000)
    expect(cluster.effects).toEqual([])
  })
})

describe('a killed node', () => {
  test.each([2, 3, 10])('of %i is fenced within 700 ms, because nobody listens where it listened', (count) => {
    const cluster = settled(count)
    const [victim] = cluster.nodes
    const killedAtMs = cluster.nowMs
    victim!.life = 'dead'
    cluster.run(3_000)
    expect(cluster.fenced).toEqual(['n1'])
    expect(cluster.fencedAtMs(victim!)! - killedAtMs).toBeLessThanOrEqual(700)
    expect(cluster.reason(victim!)).toMatch(/^silent for \d+ ms and its connection is gone \(2 probes found nobody\)$/)
  })

  test('is fenced once, although its fence takes long to be stored', () => {
    const cluster = settled(3)
    cluster.logWrites = false
    cluster.nodes[0]!.life = 'dead'
    cluster.run(4_000)
    const fences = () => cluster.effects.filter(({ effect }) => effect.kind === 'fence')
    expect(fences()).toHaveLength(1)
    cluster.run(4_000)
    expect(fences()).toHaveLength(2)
  })

  test('that was the only one is fenced too, after the hold', () => {
    const cluster = settled(1)
    cluster.nodes[0]!.life = 'dead'
    cluster.run(1_500)
    expect(cluster.fenced).toEqual([])
    cluster.run(1_000)
    expect(cluster.fenced).toEqual(['n1'])
  })
})

describe('a second node that dies', () => {
  test('before the ledger has followed the fence of the first makes no mass silence with it', () => {
    const cluster = settled(6)
    cluster.logWrites = false
    cluster.nodes[0]!.life = 'dead'
    cluster.run(2_000)
    expect(cluster.fenced).toEqual(['n1'])
    const killedAtMs = cluster.nowMs
    cluster.nodes[1]!.life = 'dead'
    cluster.run(2_000)
    expect(cluster.fencedAtMs(cluster.nodes[1]!)! - killedAtMs).toBeLessThanOrEqual(700)
  })
})

test('a supervisor that leads again asks for the fences that it did not see stored, at once', () => {
  const cluster = settled(3)
  cluster.logWrites = false
  cluster.nodes[0]!.life = 'dead'
  cluster.run(2_000)
  const fences = () => cluster.effects.filter(({ effect }) => effect.kind === 'fence').length
  expect(fences()).toBe(1)
  cluster.actor.send({ type: 'stand.by' })
  cluster.run(500)
  cluster.actor.send({ type: 'lead' })
  cluster.run(100)
  expect(fences()).toBe(2)
})

describe('a frozen node', () => {
  test.each([2, 3, 10])('of %i is fenced by phi within 1.5 s, although its connection stands', (count) => {
    const cluster = settled(count)
    const [victim] = cluster.nodes
    const frozenAtMs = cluster.nowMs
    victim!.life = 'frozen'
    cluster.run(3_000)
    expect(cluster.fenced).toEqual(['n1'])
    expect(cluster.fencedAtMs(victim!)! - frozenAtMs).toBeLessThanOrEqual(1_500)
    expect(cluster.reason(victim!)).toMatch(/^silent for 1[23]\d\d ms \(phi /)
  })

  test('that thaws after its fence is told that it is fenced', () => {
    const cluster = settled(3)
    cluster.nodes[0]!.life = 'frozen'
    cluster.run(10_000)
    cluster.nodes[0]!.life = 'alive'
    cluster.run(500)
    const told = cluster.effects.filter(({ effect }) => effect.kind === 'tell-fenced')
    expect(told.map(({ effect }) => 'incarnation' in effect && effect.incarnation)).toEqual(['n1-1'])
  })

  test('that thaws in time is only suspected', () => {
    const cluster = settled(3)
    cluster.nodes[0]!.life = 'frozen'
    cluster.run(900)
    cluster.nodes[0]!.life = 'alive'
    cluster.run(2_000)
    expect(cluster.fenced).toEqual([])
    expect(cluster.statuses(cluster.nodes[0]!)).toEqual(['suspect', 'ready'])
  })

  test('that is heard before its fence is stored is spared', () => {
    const cluster = settled(3)
    cluster.logWrites = false
    cluster.nodes[0]!.life = 'frozen'
    cluster.run(2_000)
    cluster.nodes[0]!.life = 'alive'
    cluster.run(1_000)
    expect(cluster.effects.filter(({ effect }) => effect.kind === 'spare')).toHaveLength(1)
  })
})

describe('a node that has joined again', () => {
  test('is not kept alive by the beats of its former life', () => {
    const cluster = settled(3)
    const former = cluster.join('twice', { incarnation: 'twice-1' })
    cluster.run(2_000)
    former.live = false
    const present = cluster.join('twice', { incarnation: 'twice-2', phaseMs: 30 })
    cluster.run(3_000)
    present.life = 'dead'
    cluster.run(3_000)
    expect(cluster.fencedAtMs(present)).toBeDefined()
    expect(cluster.fencedAtMs(former)).toBeUndefined()
  })
})

test('two answers in quick succession that nobody listens prove nothing: a connection may just be replaced', () => {
  const cluster = settled(3)
  const [node] = cluster.nodes
  node!.life = 'frozen'
  cluster.run(500)
  for (const off of [0, 10]) {
    cluster.actor.send({
      type: 'probed',
      incarnation: node!.incarnation,
      answer: 'nobody',
      nowMs: cluster.nowMs + off,
    })
  }
  cluster.run(100)
  expect(cluster.fenced).toEqual([])
})

test('an answer that nobody listens proves nothing any more once the node was heard again', () => {
  const cluster = settled(3)
  const [node] = cluster.nodes
  const nobody = () => cluster.actor.getSnapshot().context.watch.nodes.get(node!.incarnation)!.nobody
  node!.life = 'dead'
  cluster.run(470)
  expect(nobody()).toBe(1)
  node!.life = 'alive'
  cluster.run(100)
  node!.life = 'dead'
  cluster.run(440)
  expect(nobody()).toBe(1)
  expect(cluster.fenced).toEqual([])
  cluster.run(500)
  expect(cluster.fenced).toEqual(['n1'])
})

test('only answers in a row that nobody listens prove a node gone, and those before a lost connection prove nothing', () => {
  const cluster = settled(3)
  const [node] = cluster.nodes
  const { watch } = cluster.actor.getSnapshot().context
  const nobody = () => watch.nodes.get(node!.incarnation)!.nobody
  const answer = (answer: 'nobody' | 'silence') =>
    cluster.actor.send({ type: 'probed', incarnation: node!.incarnation, answer, nowMs: cluster.nowMs })
  answer('nobody')
  answer('silence')
  expect(nobody()).toBe(0)
  answer('nobody')
  node!.life = 'frozen'
  cluster.connected = false
  cluster.run(200)
  cluster.connected = true
  cluster.run(50)
  expect(nobody()).toBe(0)
})

test('a node that has just joined has time to begin to beat', () => {
  const cluster = settled(3)
  const late = cluster.join('late', { life: 'frozen' })
  cluster.run(1_200)
  late.life = 'alive'
  cluster.run(2_000)
  expect(cluster.statuses(late)).toEqual([])
})

describe('a node that was never heard', () => {
  test('is suspected from the ledger, and fenced while others beat', () => {
    const cluster = settled(3)
    const ghost = cluster.join('ghost', { life: 'dead' })
    cluster.run(2_500)
    expect(cluster.fencedAtMs(ghost)).toBeDefined()
  })

  test('does not make a mass silence: leftovers of an older run are fenced while the new nodes beat', () => {
    const cluster = settled(2)
    for (const name of ['old1', 'old2', 'old3']) cluster.join(name, { life: 'dead' })
    cluster.run(2_500)
    expect(cluster.fenced.sort()).toEqual(['old1', 'old2', 'old3'])
  })
})

describe('a mass silence', () => {
  test('of 4 frozen nodes of 10 holds all fencing, and says why', () => {
    const cluster = settled(10)
    for (const node of cluster.nodes.slice(0, 4)) node.life = 'frozen'
    cluster.run(10_000)
    expect(cluster.fenced).toEqual([])
    const sights = cluster.effects.flatMap(({ effect }) => (effect.kind === 'sight' ? [effect] : []))
    expect(sights.at(-1)).toMatchObject({ sight: 'dim', hold: { cause: 'mass-silence', silent: 4, heard: 10 } })
  })

  test('of 3 nodes of 10 is not one', () => {
    const cluster = settled(10)
    for (const node of cluster.nodes.slice(0, 3)) node.life = 'frozen'
    cluster.run(2_000)
    expect(cluster.fenced.sort()).toEqual(['n1', 'n2', 'n3'])
  })

  test('that ends by itself costs nobody its tasks', () => {
    const cluster = settled(10)
    for (const node of cluster.nodes.slice(0, 4)) node.life = 'frozen'
    cluster.run(10_000)
    for (const node of cluster.nodes) node.life = 'alive'
    cluster.run(10_000)
    expect(cluster.fenced).toEqual([])
    expect(cluster.actor.getSnapshot().value).toEqual({ sight: 'clear', role: 'leading' })
  })

  test.each([
    [4, 10],
    [2, 3],
  ])('of %i killed of %i holds until they had time to connect again, and no longer', (dead, count) => {
    const cluster = settled(count)
    const killedAtMs = cluster.nowMs
    for (const node of cluster.nodes.slice(0, dead)) node.life = 'dead'
    cluster.run(1_400)
    expect(cluster.fenced).toEqual([])
    cluster.run(1_000)
    expect(cluster.fenced).toHaveLength(dead)
    for (const node of cluster.nodes.slice(0, dead)) {
      expect(cluster.fencedAtMs(node)! - killedAtMs).toBeLessThanOrEqual(2_300)
    }
  })

  test('does not hold for ever', () => {
    const cluster = settled(10)
    for (const node of cluster.nodes.slice(0, 5)) node.life = 'frozen'
    cluster.run(20_000)
    expect(cluster.fenced).toHaveLength(5)
  })

  test.each([1, 2, 3, 10])('of all %i nodes behind a broker that passes nothing on fences nobody', (count) => {
    const cluster = settled(count)
    cluster.broker = false
    cluster.run(9_000)
    cluster.broker = true
    cluster.run(5_000)
    expect(cluster.fenced).toEqual([])
  })
})

describe('the supervisor itself', () => {
  test.each([1_000, 5_000, 60_000])('stopped for %i ms blames nobody', (pausedMs) => {
    const cluster = settled(3).pauseSupervisor(pausedMs).run(5_000)
    expect(cluster.fenced).toEqual([])
  })

  test('finds a node that died while it was stopped', () => {
    const cluster = settled(3)
    cluster.nodes[0]!.life = 'dead'
    cluster.pauseSupervisor(5_000).run(3_000)
    expect(cluster.fenced).toEqual(['n1'])
  })

  test('that was stopped fences nobody at once, though a silence of many has lasted long enough', () => {
    const cluster = settled(10)
    for (const node of cluster.nodes) node.life = 'frozen'
    cluster.run(14_900)
    expect(cluster.fenced).toEqual([])
    cluster.pauseSupervisor(900)
    cluster.run(100)
    expect(cluster.fenced).toEqual([])
    cluster.run(2_000)
    expect(cluster.fenced.length).toBe(10)
  })

  test('lagging all the time still fences', () => {
    const cluster = settled(3)
    cluster.nodes[0]!.life = 'dead'
    for (let pause = 0; pause < 30; pause += 1) cluster.pauseSupervisor(300).run(50)
    cluster.run(0)
    expect(cluster.fenced).toEqual(['n1'])
  })

  test('without a connection holds, and gives everybody a grace when it is back', () => {
    const cluster = settled(5)
    cluster.connected = false
    cluster.run(20_000)
    expect(cluster.actor.getSnapshot().value).toMatchObject({ sight: 'blind' })
    for (const node of cluster.nodes) node.life = 'dead'
    cluster.connected = true
    cluster.run(2_500)
    for (const node of cluster.nodes.slice(1)) node.life = 'alive'
    cluster.run(3_000)
    expect(cluster.fenced).toEqual(['n1'])
  })

  test('on standby watches and reports, but neither probes nor fences', () => {
    const cluster = settled(3)
    cluster.actor.send({ type: 'stand.by' })
    cluster.nodes[0]!.life = 'dead'
    cluster.run(5_000)
    expect(cluster.effects.map(({ effect }) => effect.kind)).toEqual(['status'])
    const promotedAtMs = cluster.nowMs
    cluster.actor.send({ type: 'lead' })
    cluster.run(1_000)
    expect(cluster.fencedAtMs(cluster.nodes[0]!)! - promotedAtMs).toBeLessThanOrEqual(200)
  })
})

describe('a node whose main loop does not turn', () => {
  test('is slow after 1 s and stuck after 10 s, and ready when it turns again', () => {
    const cluster = settled(3)
    const [node] = cluster.nodes
    node!.stuckSinceMs = cluster.nowMs
    cluster.run(15_000)
    node!.stuckSinceMs = undefined
    cluster.run(1_000)
    expect(cluster.statuses(node!)).toEqual(['slow', 'stuck', 'ready'])
    expect(cluster.fenced).toEqual([])
  })

  test('is fenced after 30 s if it holds tasks', () => {
    const cluster = settled(3)
    const [node] = cluster.nodes
    node!.stuckSinceMs = cluster.nowMs
    cluster.run(29_000)
    expect(cluster.fenced).toEqual([])
    cluster.run(2_000)
    expect(cluster.fenced).toEqual(['n1'])
    expect(cluster.reason(node!)).toMatch(/main loop has not turned for 30\d\d\d ms and it holds 1 tasks/)
  })

  test('is fenced for tasks that it was given since it joined', () => {
    const cluster = settled(3)
    const late = cluster.join('late', { tasks: 0, phaseMs: 40 })
    cluster.run(1_000)
    late.tasks = 2
    cluster.tellMembers()
    late.stuckSinceMs = cluster.nowMs
    cluster.run(32_000)
    expect(cluster.fenced).toEqual(['late'])
  })

  test('is not spared because it beats', () => {
    const cluster = settled(3)
    cluster.logWrites = false
    cluster.nodes[0]!.stuckSinceMs = cluster.nowMs
    cluster.run(33_000)
    const asked = cluster.effects.filter(({ effect }) => effect.kind === 'fence' || effect.kind === 'spare')
    expect(asked.map(({ effect }) => effect.kind)).toEqual(['fence'])
  })

  test('is left alone if it holds none', () => {
    const cluster = settled(3)
    const [node] = cluster.nodes
    node!.tasks = 0
    cluster.tellMembers()
    node!.stuckSinceMs = cluster.nowMs
    cluster.run(60_000)
    expect(cluster.fenced).toEqual([])
  })
})

describe('a stranger', () => {
  test('whose joining is still on its way is not told that it is fenced', () => {
    const cluster = settled(3)
    const stranger = cluster.join('late', { live: false })
    cluster.run(900)
    stranger.live = true
    cluster.tellMembers()
    cluster.run(3_000)
    expect(cluster.effects.filter(({ effect }) => effect.kind === 'tell-fenced')).toEqual([])
  })

  test('that the ledger never comes to know is told once a second', () => {
    const cluster = settled(3)
    cluster.join('stranger', { live: false })
    cluster.run(5_000)
    const told = cluster.effects.filter(({ effect }) => effect.kind === 'tell-fenced')
    expect(told.length).toBeGreaterThanOrEqual(3)
    expect(told.length).toBeLessThanOrEqual(5)
  })
})
