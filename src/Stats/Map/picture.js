// Draws the world: the grid of parcels, the islands as hulls, and the people.

import { colours, shares } from './world.js'

const parcel = 16
const weighEvery = 1000 // Milliseconds.
const hullEvery = 250 // Milliseconds for which a hull stands; people do not walk far in that.
const place = { x: 0, z: 0 }

// The smallest convex shape around some places (Andrew's monotone chain); in place, numbers x, z in turn.
function hullOf(points) {
  points.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  if (points.length < 3) return points
  const half = (list) => {
    const chain = []
    for (const p of list) {
      while (chain.length > 1 && cross(chain.at(-2), chain.at(-1), p) <= 0) chain.pop()
      chain.push(p)
    }
    chain.pop()
    return chain
  }
  return [...half(points), ...half(points.reverse())]
}
const cross = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])

export class Picture {
  constructor(canvas, world, camera) {
    Object.assign(this, { canvas, world, camera, context: canvas.getContext('2d', { alpha: false }) })
    this.buckets = Array.from({ length: colours + 1 }, () => ({ places: new Float32Array(512), length: 0 }))
    this.spots = Array.from({ length: colours + 1 }, () => [])
    this.byCompany = false // Whether people are coloured by how many of their nearest are with them.
    this.weighedAt = -Infinity
    this.hulls = new Map()
    this.hulledAt = -Infinity
    this.readColours()
  }

  readColours() {
    const style = getComputedStyle(document.documentElement)
    // light-dark() is resolved only where a property uses it.
    const probe = document.createElement('i')
    document.body.append(probe)
    const colour = (name) => {
      probe.style.color = `var(--${name})`
      return getComputedStyle(probe).color
    }
    this.paint = Object.fromEntries(['sea', 'grid', 'axis', 'ink', 'faint', 'full', 'accent'].map((name) => [name, colour(name)]))
    probe.remove()
    // From red for nobody to green for all, and the colour of those whom nobody is near.
    this.shares = Array.from({ length: shares }, (_, i) => `hsl(${[2, 28, 46, 80, 145][i]} 75% 42%)`).concat(this.paint.faint)
    const dark = style.colorScheme === 'dark' || (style.colorScheme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
    this.hues = Array.from({ length: colours }, (_, i) => {
      // Neighbouring numbers get colours that are far apart.
      const hue = (i * 137.5) % 360
      const light = (dark ? 62 : 40) + (i % 3) * 6
      return { dot: `hsl(${hue} 68% ${light}%)`, hull: `hsl(${hue} 60% ${light}% / 0.16)`, edge: `hsl(${hue} 60% ${light}% / 0.55)` }
    })
  }

  resize() {
    const ratio = Math.min(2, devicePixelRatio || 1)
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight]
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio))
      [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)]
    Object.assign(this.camera, { width, height })
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0)
  }

  draw(now, selected) {
    this.resize()
    const { context, camera, paint } = this
    context.fillStyle = paint.sea
    context.fillRect(0, 0, camera.width, camera.height)
    this.drawGrid()
    this.drawIslands(now, selected?.island)
    this.drawPeople(now)
    if (selected?.slot !== undefined) this.drawChosen(now, selected.slot)
  }

  drawGrid() {
    const { context, camera, paint } = this
    for (const [step, colour] of [[parcel, paint.grid], [parcel * 10, paint.axis], [parcel * 100, paint.axis]]) {
      if (step * camera.scale < 8 || (step > parcel && step * camera.scale > 3000)) continue
      context.strokeStyle = colour
      context.lineWidth = 1
      context.beginPath()
      const from = camera.toWorld(0, camera.height)
      const to = camera.toWorld(camera.width, 0)
      for (let x = Math.ceil(from.x / step) * step; x <= to.x; x += step) {
        const at = Math.round(camera.toScreenX(x)) + 0.5
        context.moveTo(at, 0)
        context.lineTo(at, camera.height)
      }
      for (let z = Math.ceil(from.z / step) * step; z <= to.z; z += step) {
        const at = Math.round(camera.toScreenY(z)) + 0.5
        context.moveTo(0, at)
        context.lineTo(camera.width, at)
      }
      context.stroke()
    }
  }

  sees(island) {
    const { camera } = this
    const reach = (island.radius || 0) * camera.scale + 40
    const [x, y] = [camera.toScreenX(island.x), camera.toScreenY(island.z)]
    return x > -reach && y > -reach && x < camera.width + reach && y < camera.height + reach
  }

  drawIslands(now, chosen) {
    const { context, camera, world, paint } = this
    if (now - this.hulledAt > hullEvery) {
      this.hulls.clear()
      this.hulledAt = now
    }
    const labels = []
    const padding = Math.max(2, Math.min(24, 3 * camera.scale))
    for (const spots of this.spots) spots.length = 0
    for (const island of world.islands.values()) {
      if (island.members.length === 0 || !this.sees(island)) continue
      const size = (island.radius || 0) * camera.scale
      const colour = this.hues[island.colour]
      const full = island.members.length >= island.max
      if (size < 6 && island !== chosen) {
        // From afar an island is a spot, and all of one colour are drawn at once.
        const spots = this.spots[full ? colours : island.colour]
        spots.push(camera.toScreenX(island.x), camera.toScreenY(island.z), size + padding + 4)
        continue
      }
      context.beginPath()
      const top = this.outline(this.hullOf(island, now), padding)
      context.fillStyle = colour.hull
      context.fill()
      context.lineWidth = island === chosen ? 3 : full ? 2 : 1
      context.strokeStyle = full ? paint.full : colour.edge
      context.stroke()
      if (size > 14 || island === chosen) labels.push({ island, full, x: camera.toScreenX(island.x), y: Math.max(top - 6, 12) })
    }
    this.drawSpots()
    this.drawLabels(labels, chosen)
  }

  drawSpots() {
    const { context, paint } = this
    this.spots.forEach((spots, colour) => {
      if (spots.length === 0) return
      context.beginPath()
      for (let i = 0; i < spots.length; i += 3) {
        context.moveTo(spots[i] + spots[i + 2], spots[i + 1])
        context.arc(spots[i], spots[i + 1], spots[i + 2], 0, 7)
      }
      if (colour === colours) {
        context.strokeStyle = paint.full
        context.lineWidth = 1.5
        context.stroke()
      } else {
        context.fillStyle = this.hues[colour].hull
        context.fill()
      }
    })
  }

  // A line around a convex shape at some distance, rounded at its corners; returns how high it reaches on the screen.
  outline(hull, distance) {
    const { context, camera } = this
    const points = hull.map(([x, z]) => [camera.toScreenX(x), camera.toScreenY(z)])
    let top = Infinity
    points.forEach(([x, y], i) => {
      top = Math.min(top, y - distance)
      if (points.length === 1) return context.arc(x, y, distance, 0, 7)
      const [[beforeX, beforeY], [afterX, afterY]] = [points.at(i - 1), points[(i + 1) % points.length]]
      // Seen on the screen the corners come clockwise or not, by which way the hull goes; north up turns it around.
      context.arc(x, y, distance, Math.atan2(y - beforeY, x - beforeX) + Math.PI / 2, Math.atan2(afterY - y, afterX - x) + Math.PI / 2, true)
    })
    context.closePath()
    return top
  }

  // The largest islands first, and no name over another.
  drawLabels(labels, chosen) {
    const { context, paint } = this
    context.textAlign = 'center'
    context.font = '600 12px system-ui, sans-serif'
    labels.sort((a, b) => (b.island === chosen) - (a.island === chosen) || b.island.members.length - a.island.members.length)
    const taken = []
    for (const { island, full, x, y } of labels.slice(0, 200)) {
      const text = `${island.id}  ${island.members.length}/${island.max}`
      const half = context.measureText(text).width / 2 + 4
      if (taken.some((other) => Math.abs(other.x - x) < other.half + half && Math.abs(other.y - y) < 15)) continue
      taken.push({ x, y, half })
      context.fillStyle = full ? paint.full : paint.ink
      context.fillText(text, x, y)
    }
  }

  hullOf(island, now) {
    let hull = this.hulls.get(island)
    if (!hull) {
      const places = []
      for (const slot of island.members) {
        if (!this.world.here[slot]) continue
        const { x, z } = this.world.at(slot, now, place)
        if (Number.isFinite(x) && Number.isFinite(z)) places.push([x, z])
      }
      this.hulls.set(island, (hull = hullOf(places)))
    }
    return hull
  }

  drawPeople(now) {
    const { context, camera, world, buckets } = this
    for (const bucket of buckets) bucket.length = 0
    if (this.byCompany && now - this.weighedAt > weighEvery) {
      world.weigh()
      this.weighedAt = now
    }
    for (let slot = 0; slot < world.count; slot++) {
      if (!world.here[slot]) continue
      const { x, z } = world.at(slot, now, place)
      const [screenX, screenY] = [camera.toScreenX(x), camera.toScreenY(z)]
      if (!(screenX > -6 && screenY > -6 && screenX < camera.width + 6 && screenY < camera.height + 6)) continue
      const bucket = buckets[this.byCompany ? (world.share[slot] ?? shares) : (world.island[slot]?.colour ?? colours)]
      if (bucket.length + 2 > bucket.places.length) {
        const larger = new Float32Array(bucket.places.length * 2)
        larger.set(bucket.places)
        bucket.places = larger
      }
      bucket.places[bucket.length++] = screenX
      bucket.places[bucket.length++] = screenY
    }
    const size = Math.max(1, Math.min(5, camera.scale * 0.9))
    // A filled square of few pixels is a dot, and ten times as quick as a circle.
    const round = size > 2.2
    buckets.forEach(({ places, length }, colour) => {
      if (length === 0) return
      context.fillStyle = this.byCompany ? (this.shares[colour] ?? this.paint.faint) : colour === colours ? this.paint.faint : this.hues[colour].dot
      if (round && length < 4000) {
        context.beginPath()
        for (let i = 0; i < length; i += 2) {
          context.moveTo(places[i] + size, places[i + 1])
          context.arc(places[i], places[i + 1], size, 0, 7)
        }
        context.fill()
      } else {
        const side = Math.round(size * 2)
        // On whole pixels nothing needs to be smoothed.
        for (let i = 0; i < length; i += 2) context.fillRect((places[i] - size) | 0, (places[i + 1] - size) | 0, side, side)
      }
    })
  }

  drawChosen(now, slot) {
    const { context, camera, world, paint } = this
    const { x, z } = world.at(slot, now, place)
    context.beginPath()
    context.arc(camera.toScreenX(x), camera.toScreenY(z), 10, 0, 7)
    context.lineWidth = 2.5
    context.strokeStyle = paint.accent
    context.stroke()
  }
}
