/**
 * A binary heap whose items know their place, so that one that changes can be moved or removed. The order is a function of
 * the items; whoever changes an item says so with `place`. O(log n) each.
 */

export interface Placed {
  /** Index in its heap, −1 when in none. Written by the heap alone. */
  at: number
}

export class IndexedHeap<T extends Placed> {
  private readonly items: T[] = []
  private readonly before: (a: T, b: T) => boolean

  constructor(before: (a: T, b: T) => boolean) {
    this.before = before
  }

  get length(): number {
    return this.items.length
  }

  peek(): T | undefined {
    return this.items[0]
  }

  [Symbol.iterator](): Iterator<T> {
    return this.items[Symbol.iterator]()
  }

  /** All items, the first in order first, each in O(log n); the heap must not change meanwhile. */
  *inOrder(): Generator<T, void> {
    const { items, before } = this
    // Items whose parents have been given out, the last in order first.
    const frontier: T[] = items.length > 0 ? [items[0]!] : []
    for (let next = frontier.pop(); next !== undefined; next = frontier.pop()) {
      yield next
      for (const at of [2 * next.at + 1, 2 * next.at + 2]) {
        const child = items[at]
        if (child === undefined) continue
        let place = frontier.length
        while (place > 0 && before(frontier[place - 1]!, child)) place--
        frontier.splice(place, 0, child)
      }
    }
  }

  /** Puts the item in, or moves it to where it belongs now. */
  place(item: T): void {
    if (item.at < 0) {
      item.at = this.items.length
      this.items.push(item)
    }
    this.rise(item)
    this.sink(item)
  }

  remove(item: T): void {
    const { at } = item
    if (at < 0) return
    item.at = -1
    const last = this.items.pop() as T
    if (last === item) return
    last.at = at
    this.items[at] = last
    this.place(last)
  }

  pop(): T | undefined {
    const top = this.items[0]
    if (top !== undefined) this.remove(top)
    return top
  }

  private rise(item: T): void {
    const { items, before } = this
    let { at } = item
    while (at > 0) {
      const parent = items[(at - 1) >> 1]!
      if (!before(item, parent)) break
      items[at] = parent
      const next = parent.at
      parent.at = at
      at = next
    }
    items[at] = item
    item.at = at
  }

  private sink(item: T): void {
    const { items, before } = this
    let { at } = item
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++
      const below = items[child]!
      if (!before(below, item)) break
      items[at] = below
      below.at = at
      at = child
    }
    items[at] = item
    item.at = at
  }
}
