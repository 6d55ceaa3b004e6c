const h3 = require('h3-js');
module.exports = async () => {
  const cell = h3.latLngToCell(37.3615593, -122.0553238, 7);
  return { cell, ring: h3.gridDisk(cell, 1).length, parent: h3.cellToChildren(h3.cellToParent(cell, 6), 7).includes(cell) };
};
