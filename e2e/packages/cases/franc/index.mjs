import { franc } from 'franc';
export default async () => Response.json(['Alle Menschen sind frei und gleich an Würde und Rechten geboren.', 'Tous les êtres humains naissent libres et égaux en dignité et en droits.', 'Все люди рождаются свободными и равными в своем достоинстве', 'x'].map(t => franc(t)));
