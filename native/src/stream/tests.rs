use super::*;

fn taken(window: &mut Window<u64>) -> Vec<Delivery<u64>> {
    std::iter::from_fn(|| window.take()).collect()
}

#[test]
fn what_comes_after_a_hole_waits_for_it() {
    let mut window = Window::new(1, Bounds::default(), 0);
    assert!(window.pass(1));
    assert_eq!(window.put(3, 3, 1, Sent::First, 0), Placed::Taken);
    assert!(taken(&mut window).is_empty() && !window.pass(4));
    assert_eq!(window.put(3, 3, 1, Sent::First, 0), Placed::Duplicate);
    assert_eq!(window.put(2, 2, 1, Sent::Again, 0), Placed::Taken);
    assert_eq!(taken(&mut window), [Delivery::Item(2, 2), Delivery::Item(3, 3)]);
    assert_eq!(window.put(2, 2, 1, Sent::First, 0), Placed::TooOld);
    assert!(window.pass(4));
}
