// Makes the outlines of the panel's map, ../../static/world.svg, out of Natural Earth's 1:50m map (public domain).
// Projection and size are those of geo/projection.py.
import { readFileSync, writeFileSync } from "node:fs";
import { geoPath, geoProjection } from "d3-geo";
import { feature, mesh } from "topojson-client";
import { presimplify, simplify } from "topojson-simplify";

const WIDTH = 1000;
const NORTH = 84; // degrees; what lies beyond is left out
const SOUTH = -57;
const FINEST = 0.1; // square degrees: the smallest bend, or island, that is kept

const down = (phi) => (1 + Math.SQRT2) * Math.tan(phi / 2); // Gall's stereographic projection, x being the longitude
const scale = WIDTH / (2 * Math.PI);
const top = down((NORTH * Math.PI) / 180) * scale;
const height = Math.round(top - down((SOUTH * Math.PI) / 180) * scale);
const projection = geoProjection((lambda, phi) => [lambda, down(phi)])
  .scale(scale)
  .translate([WIDTH / 2, top])
  .precision(0)
  .clipExtent([[0, 0], [WIDTH, height]]);

const atlas = new URL(import.meta.resolve("world-atlas/countries-50m.json"));
const world = simplify(presimplify(JSON.parse(readFileSync(atlas, "utf8"))), FINEST);
const path = geoPath(projection).digits(1);
const land = path(feature(world, world.objects.land));
const borders = path(mesh(world, world.objects.countries, (one, other) => one !== other));
writeFileSync(
  new URL("../../static/world.svg", import.meta.url),
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}">` +
    `<path id="land" d="${land}"/><path id="borders" fill="none" vector-effect="non-scaling-stroke" d="${borders}"/></svg>\n`,
);
