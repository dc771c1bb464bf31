"use strict";
// Surfaces on a plain canvas: faces sorted by depth and shaded, so that no 3D driver is needed.
(() => {
  const canvas = document.getElementById("surface");
  if (!canvas) return;
  const places = JSON.parse(document.getElementById("meshes-data").textContent);
  const context = canvas.getContext("2d");
  const colours = { truth: [86, 180, 233], prediction: [230, 159, 0] };
  const start = { turn: 0.6, tilt: -1.05, zoom: 1 };
  const view = { place: 0, ...start };
  let surfaces = [];

  const numbers = (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Uint16Array(bytes.buffer);
  };
  // Vertices are steps of a 65535th from half a crop before it to half a crop behind it.
  const load = () => {
    const place = places[view.place];
    surfaces = ["truth", "prediction"].filter((name) => place[name]).map((name) => {
      const steps = numbers(place[name].vertices);
      const points = new Float32Array(steps.length);
      for (let k = 0; k < steps.length; k += 1) {
        points[k] = (steps[k] / 65535 * 2 - 1) * place.size_um[k % 3];
      }
      return { name, points, faces: numbers(place[name].faces) };
    });
    const size = place.size_um.map((um) => um.toFixed(1)).join(" × ");
    const none = ["truth", "prediction"].filter((name) => !place[name]);
    document.getElementById("surface-size").textContent =
      `Box: ${size} µm (x × y × z).` + (none.length ? ` There is no ${none.join(" and no ")} here.` : "");
  };

  const rotation = () => {
    const [a, b, c, d] = [Math.cos(view.turn), Math.sin(view.turn), Math.cos(view.tilt), Math.sin(view.tilt)];
    return [a, -b, 0, b * c, a * c, -d, b * d, a * d, c];
  };
  const turned = (points, m) => {
    const out = new Float32Array(points.length);
    for (let k = 0; k < points.length; k += 3) {
      const x = points[k], y = points[k + 1], z = points[k + 2];
      for (let r = 0; r < 3; r += 1) out[k + r] = m[3 * r] * x + m[3 * r + 1] * y + m[3 * r + 2] * z;
    }
    return out;
  };

  const shownFaces = (m) => {
    const faces = [];
    for (const { name, points, faces: index } of surfaces) {
      if (!document.getElementById(`show-${name}`).checked) continue;
      const p = turned(points, m);
      for (let f = 0; f < index.length; f += 3) {
        const [a, b, c] = [3 * index[f], 3 * index[f + 1], 3 * index[f + 2]];
        const u = [p[b] - p[a], p[b + 1] - p[a + 1], p[b + 2] - p[a + 2]];
        const v = [p[c] - p[a], p[c + 1] - p[a + 1], p[c + 2] - p[a + 2]];
        const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        const length = Math.hypot(...n) || 1;
        const light = 0.35 + 0.65 * Math.abs(0.35 * n[0] - 0.45 * n[1] + 0.82 * n[2]) / length;
        faces.push({ depth: p[a + 2] + p[b + 2] + p[c + 2], name, light, at: [p[a], p[a + 1], p[b], p[b + 1], p[c], p[c + 1]] });
      }
    }
    return faces.sort((a, b) => a.depth - b.depth);
  };

  const box = (m, project) => {
    const size = places[view.place].size_um;
    const corner = (k) => [(k & 1 ? 0.5 : -0.5) * size[0], (k & 2 ? 0.5 : -0.5) * size[1], (k & 4 ? 0.5 : -0.5) * size[2]];
    context.strokeStyle = "#6b737b";
    context.lineWidth = 1;
    context.beginPath();
    for (let a = 0; a < 8; a += 1) {
      for (const bit of [1, 2, 4]) {
        if (a & bit) continue;
        const [p, q] = [a, a | bit].map((k) => turned(Float32Array.from(corner(k)), m));
        context.moveTo(...project(p[0], p[1]));
        context.lineTo(...project(q[0], q[1]));
      }
    }
    context.stroke();
    context.fillStyle = "#c9d0d6";
    context.font = "20px system-ui, sans-serif";
    ["x", "y", "z"].forEach((name, axis) => {
      const end = turned(Float32Array.from(corner(1 << axis)), m);
      context.fillText(name, ...project(end[0] * 1.06, end[1] * 1.06));
    });
  };

  const bar = (scale) => {
    const goal = 160 / scale;
    const power = 10 ** Math.floor(Math.log10(goal));
    const um = [5, 2, 1].map((k) => k * power).find((length) => length <= goal);
    context.fillStyle = "#fff";
    context.fillRect(24, canvas.height - 28, um * scale, 4);
    context.fillText(`${um} µm`, 24, canvas.height - 38);
  };

  const draw = () => {
    const m = rotation();
    const size = places[view.place].size_um;
    const scale = view.zoom * 0.95 * Math.min(canvas.width, canvas.height) / Math.hypot(...size);
    const project = (x, y) => [canvas.width / 2 + scale * x, canvas.height / 2 + scale * y];
    context.clearRect(0, 0, canvas.width, canvas.height);
    box(m, project);
    const both = surfaces.length > 1;
    for (const face of shownFaces(m)) {
      const rgb = colours[face.name].map((c) => Math.round(c * face.light)).join(",");
      const style = `rgba(${rgb},${both ? 0.55 : 0.95})`;
      context.fillStyle = style;
      context.beginPath();
      context.moveTo(...project(face.at[0], face.at[1]));
      context.lineTo(...project(face.at[2], face.at[3]));
      context.lineTo(...project(face.at[4], face.at[5]));
      context.closePath();
      context.fill();
    }
    bar(scale);
  };
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };

  const choice = document.getElementById("place-choice");
  const choose = (number) => {
    Object.assign(view, { place: number, ...start });
    choice.value = String(number);
    load();
    draw();
  };
  choice.addEventListener("change", () => choose(+choice.value));
  for (const name of ["truth", "prediction"]) {
    document.getElementById(`show-${name}`).addEventListener("change", soon);
  }
  for (const button of document.querySelectorAll("button.show3d")) {
    button.addEventListener("click", () => {
      choose(+button.dataset.place);
      document.getElementById("surfaces").scrollIntoView();
      canvas.focus({ preventScroll: true });
    });
  }
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    view.turn += event.movementX * 0.01;
    view.tilt += event.movementY * 0.01;
    soon();
  });
  const zoom = (factor) => {
    view.zoom = Math.min(8, Math.max(0.3, view.zoom * factor));
    soon();
  };
  // Only with the picture in focus: a page that scrolls by must not be caught.
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }, { passive: false });
  const keys = {
    ArrowLeft: () => { view.turn -= 0.12; }, ArrowRight: () => { view.turn += 0.12; },
    ArrowUp: () => { view.tilt -= 0.12; }, ArrowDown: () => { view.tilt += 0.12; },
    "+": () => zoom(1.15), "=": () => zoom(1.15), "-": () => zoom(1 / 1.15),
    0: () => Object.assign(view, start),
  };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
    soon();
  });
  choose(0);
})();
