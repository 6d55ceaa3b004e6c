const { of, from, map, zip, toArray, lastValueFrom, defer, retry, catchError, delay, switchMap } = require('rxjs');
module.exports = async () => {
  let tries = 0;
  return {
    out: await lastValueFrom(zip(from([1, 2, 3]).pipe(map(n => n * n)), of('a', 'b', 'c')).pipe(toArray())),
    latest: await lastValueFrom(of('a', 'b', 'c').pipe(switchMap(v => of(v).pipe(delay(5))))),
    error: await lastValueFrom(defer(() => { tries++; throw new Error('boom'); }).pipe(retry(2), catchError(e => of(`${e.message}, ${tries} tries`)))),
  };
};
