// What the live stream has told: people and islands. People stand in columns, so that ten thousand of them are drawn without an object each.

const stride = 1000 // Milliseconds that a step takes on the map; people say where they are once a second.
const leap = 48 // Metres beyond which nobody walks: they are simply there.
export const colours = 24
export const shares = 5
const earshot = 64 // Metres.
const cell = 16

// A colour that stays with an island as long as it lives, the same for everybody who looks.
function hash(text) {
  let value = 2166136261
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 16777619)
  return (value ^ (value >>> 15)) >>> 0
}

export class World {
  constructor() {
    this.islands = new Map()
    this.clear(256)
  }

  clear(capacity) {
    this.count = 0 // Slots below it may hold somebody.
    this.free = []
    this.slots = new Map() // The stream's number -> slot.
    this.byId = new Map()
    this.ids = []
    this.island = []
    this.members = 0
    for (const name of ['x', 'z', 'fromX', 'fromZ']) this[name] = new Float32Array(capacity)
    this.since = new Float64Array(capacity)
    this.here = new Uint8Array(capacity)
    this.islands.clear()
    this.version = (this.version ?? 0) + 1
  }

  get people() {
    return this.slots.size
  }

  // Takes one event of the stream.
  apply(kind, frame, now) {
    if (kind === 'world') this.clear(Math.max(256, frame.peers.length * 2))
    for (const [number, id, x, z] of frame.peers ?? frame.came ?? []) this.come(number, id, x, z, now)
    for (const [number, x, z] of frame.moved ?? []) this.move(number, x, z, now)
    for (const id of frame.gone ?? []) this.forget(id)
    for (const told of frame.islands ?? []) this.tell(told)
    for (const number of frame.left ?? []) this.leave(number)
    this.version++
  }

  // Where somebody is drawn now, on the way from the last place to this one.
  at(slot, now, out) {
    const share = Math.min(1, (now - this.since[slot]) / stride)
    out.x = this.fromX[slot] + (this.x[slot] - this.fromX[slot]) * share
    out.z = this.fromZ[slot] + (this.z[slot] - this.fromZ[slot]) * share
    return out
  }

  come(number, id, x, z, now) {
    const slot = this.free.pop() ?? this.count++
    if (slot >= this.x.length) this.grow()
    this.slots.set(number, slot)
    this.byId.set(id, slot)
    this.ids[slot] = id
    this.island[slot] = undefined
    this.here[slot] = 1
    this.x[slot] = this.fromX[slot] = x ?? NaN
    this.z[slot] = this.fromZ[slot] = z ?? NaN
    this.since[slot] = now - stride
  }

  move(number, x, z, now) {
    const slot = this.slots.get(number)
    if (slot === undefined) return
    const from = this.at(slot, now, place)
    const walks = Math.hypot(x - from.x, z - from.z) <= leap
    this.fromX[slot] = walks ? from.x : x
    this.fromZ[slot] = walks ? from.z : z
    this.x[slot] = x ?? NaN
    this.z[slot] = z ?? NaN
    this.since[slot] = now
  }

  leave(number) {
    const slot = this.slots.get(number)
    if (slot === undefined) return
    this.slots.delete(number)
    if (this.byId.get(this.ids[slot]) === slot) this.byId.delete(this.ids[slot])
    this.here[slot] = 0
    this.ids[slot] = this.island[slot] = undefined
    this.free.push(slot)
  }

  tell({ id, max, x, z, radius, peers }) {
    let island = this.islands.get(id)
    if (!island) this.islands.set(id, (island = { id, members: [], colour: hash(id) % colours }))
    Object.assign(island, { max, x, z, radius })
    if (!peers) return
    for (const slot of island.members) if (this.island[slot] === island) this.island[slot] = undefined
    island.members = peers.map((number) => this.slots.get(number)).filter((slot) => slot !== undefined)
    for (const slot of island.members) this.island[slot] = island
  }

  forget(id) {
    const island = this.islands.get(id)
    for (const slot of island?.members ?? []) if (this.island[slot] === island) this.island[slot] = undefined
    this.islands.delete(id)
  }

  grow() {
    for (const name of ['x', 'z', 'fromX', 'fromZ', 'since', 'here']) {
      const larger = new this[name].constructor(this[name].length * 2)
      larger.set(this[name])
      this[name] = larger
    }
  }

  // The rectangle that everybody is in; undefined when nobody is anywhere.
  bounds() {
    let [x1, z1, x2, z2] = [Infinity, Infinity, -Infinity, -Infinity]
    for (let slot = 0; slot < this.count; slot++) {
      if (!this.here[slot] || !Number.isFinite(this.x[slot]) || !Number.isFinite(this.z[slot])) continue
      x1 = Math.min(x1, this.x[slot])
      x2 = Math.max(x2, this.x[slot])
      z1 = Math.min(z1, this.z[slot])
      z2 = Math.max(z2, this.z[slot])
    }
    return x1 <= x2 ? { x1, z1, x2, z2 } : undefined
  }

  // Whoever is nearest to a place, within some metres.
  nearest(x, z, within, now) {
    let best
    let least = within * within
    for (let slot = 0; slot < this.count; slot++) {
      if (!this.here[slot]) continue
      const p = this.at(slot, now, place)
      const square = (p.x - x) ** 2 + (p.z - z) ** 2
      if (square <= least) [best, least] = [slot, square]
    }
    return best
  }

  // Notes for everybody how many of the ten nearest within earshot share the island: 0 to 4 for none to all, 5 where nobody is near.
  weigh() {
    if (!this.share || this.share.length < this.count) this.share = new Uint8Array(this.x.length)
    const cells = new Map()
    const key = (x, z) => `${Math.floor(x / cell)},${Math.floor(z / cell)}`
    for (let slot = 0; slot < this.count; slot++) {
      this.share[slot] = 5
      if (!this.here[slot] || !Number.isFinite(this.x[slot]) || !Number.isFinite(this.z[slot])) continue
      const at = key(this.x[slot], this.z[slot])
      if (cells.has(at)) cells.get(at).push(slot)
      else cells.set(at, [slot])
    }
    for (const inside of cells.values()) for (const slot of inside) this.share[slot] = this.shareOf(slot, cells, key)
  }

  shareOf(slot, cells, key) {
    const [x, z, near] = [this.x[slot], this.z[slot], []]
    for (let ring = 0; ring <= earshot / cell; ring++) {
      // Whoever is farther out than this ring is farther away than its inner edge.
      if (near.length >= 10 && near[9].apart <= (Math.max(0, ring - 1) * cell) ** 2) break
      for (let dz = -ring; dz <= ring; dz++)
        for (let dx = -ring; dx <= ring; dx += Math.abs(dz) === ring ? 1 : 2 * ring)
          for (const other of cells.get(key(x + dx * cell, z + dz * cell)) ?? []) this.meet(slot, other, near)
    }
    return near.length === 0 ? 5 : Math.round((4 * this.together(slot, near)) / near.length)
  }

  // Of somebody's ten nearest within earshot, how many share the island.
  company(slot) {
    const near = []
    for (let other = 0; other < this.count; other++) if (this.here[other]) this.meet(slot, other, near)
    return { near: near.length, together: this.together(slot, near) }
  }

  // Keeps the ten nearest of those who are met, nearest first.
  meet(slot, other, near) {
    const apart = (this.x[other] - this.x[slot]) ** 2 + (this.z[other] - this.z[slot]) ** 2
    if (other === slot || !(apart <= earshot ** 2) || (near.length >= 10 && apart >= near[9].apart)) return
    near.push({ apart, other })
    near.sort((a, b) => a.apart - b.apart)
    if (near.length > 10) near.pop()
  }

  together(slot, near) {
    return near.filter(({ other }) => this.island[other] && this.island[other] === this.island[slot]).length
  }
}

const place = { x: 0, z: 0 }
