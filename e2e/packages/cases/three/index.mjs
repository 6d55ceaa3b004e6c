import { Vector3, Mesh, BoxGeometry, Raycaster, Box3 } from 'three';
export default async () => {
  const mesh = new Mesh(new BoxGeometry(2, 2, 2));
  const [hit] = new Raycaster(new Vector3(0, 0, 5), new Vector3(0, 0, -1)).intersectObject(mesh);
  const box = new Box3().setFromObject(mesh);
  return Response.json({ cross: new Vector3(1, 0, 0).cross(new Vector3(0, 1, 0)).toArray(), hit: hit.distance, box: [box.min.x, box.max.x] });
};
