const turf = require('@turf/turf');
module.exports = async () => {
  const box = turf.bboxPolygon([0, 0, 1, 1]);
  return { km: Math.round(turf.distance([7.4474, 46.948], [8.5417, 47.3769]) * 10) / 10, inside: [turf.booleanPointInPolygon([0.5, 0.5], box), turf.booleanPointInPolygon([2, 2], box)], area: Math.round(turf.area(box) / 1e6) };
};
